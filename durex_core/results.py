"""What a handler may return instead of a plain value, to say what comes next."""

from dataclasses import dataclass
from typing import Any

from durex_core.model import Spec


@dataclass(frozen=True, slots=True)
class Next:
    """Complete, and enqueue one command in the same transaction; `result` is this command's own result."""

    spec: Spec
    result: Any = None


@dataclass(frozen=True, slots=True, init=False)
class Spawn:
    """Complete, and enqueue any number of commands in the same transaction; all of them or none."""

    specs: tuple[Spec, ...]
    result: Any

    def __init__(self, *specs: Spec, result: Any = None) -> None:
        """Take the specs as positional arguments."""
        object.__setattr__(self, "specs", specs)
        object.__setattr__(self, "result", result)
