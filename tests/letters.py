"""A command that sends letters, for tests of what may stand behind a command."""

from typing import Any

from pydantic import BaseModel

from durex_core.handlers.handler import Handler
from durex_core.registry import Registry

LIMIT = 1000


class Letter(BaseModel):
    to: str
    text: str = "Hello!"


def register(registry: Registry, target: Any, **options: Any) -> Handler:
    return registry.register("send", target, options)


def send(letter: Letter) -> str:
    return letter.to
