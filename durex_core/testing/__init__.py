"""What users of durex put into their own tests: an application on a throw-away database and on virtual time.

The pytest plugin lives in this package and is loaded by every pytest session, so nothing is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from durex_core.testing.clock import VirtualClock
    from durex_core.testing.cloud import SimulatedCloud
    from durex_core.testing.database import VirtualTimeDatabase
    from durex_core.testing.errors import ClockError, EndlessLoop, HarnessBusy, StillRunning
    from durex_core.testing.harness import ANY, Harness

__all__ = [
    "ANY",
    "ClockError",
    "EndlessLoop",
    "Harness",
    "HarnessBusy",
    "SimulatedCloud",
    "StillRunning",
    "VirtualClock",
    "VirtualTimeDatabase",
]

_HOMES = {
    "ANY": "harness",
    "ClockError": "errors",
    "EndlessLoop": "errors",
    "Harness": "harness",
    "HarnessBusy": "errors",
    "SimulatedCloud": "cloud",
    "StillRunning": "errors",
    "VirtualClock": "clock",
    "VirtualTimeDatabase": "database",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
