"""durex: durable commands and workflows for Python teams on AWS, with nothing to keep running."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from durex_core.app import Durex
    from durex_core.execution.context import AsyncContext, Context
    from durex_core.spec import Spec

__all__ = ["AsyncContext", "Context", "Durex", "Spec"]
__version__ = "0.1.0"

_HOMES = {"AsyncContext": "execution.context", "Context": "execution.context", "Durex": "app", "Spec": "spec"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: whoever needs one module of durex does not pay for all."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
