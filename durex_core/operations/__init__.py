"""Operations: what the Python API, the HTTP API, the command line and the dashboard all call."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from durex_core.operations import cancel, find, ingest, queues, revive, schema

__all__ = ["cancel", "find", "ingest", "queues", "revive", "schema"]


def __getattr__(name: str) -> Any:
    """Import an operation when it is first asked for: a worker function needs next to none of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
