"""What a handler may return instead of a plain value, to say what comes next.

What follows is stored in the transaction of the outcome: all of it or none.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from durex_core.records import record
from durex_core.spec import Spec


class _Unchanged:
    """Stands for a payload that stays as it is."""

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = _Unchanged()


@record
class Next:
    """Complete, and enqueue one command; `result` is this command's own result."""

    spec: Spec
    result: Any = None


@record(init=False)
class Spawn:
    """Complete, and enqueue any number of commands."""

    specs: tuple[Spec, ...]
    result: Any

    def __init__(self, *specs: Spec, result: Any = None) -> None:
        """Take the specs as positional arguments."""
        object.__setattr__(self, "specs", specs)
        object.__setattr__(self, "result", result)


@record(init=False)
class SpawnThen:
    """Complete, enqueue any number of commands, and `then` one more when all of them have ended.

    `then` runs once, and reads how they ended from `ctx.children`, in the order of the specs. If one of them did not
    complete, `then` fails without an attempt, and its `on_recover` runs; with `allow_failures` it runs all the same.
    Without specs it runs at once. A spec with a sequence has ended when its last command has. Neither `then` nor the
    specs may have a unique or idempotency key.
    """

    specs: tuple[Spec, ...]
    then: Spec
    allow_failures: bool
    result: Any

    def __init__(self, specs: Iterable[Spec], then: Spec, *, allow_failures: bool = False, result: Any = None) -> None:
        """Take at most 1,000 specs, and the one that follows them."""
        object.__setattr__(self, "specs", tuple(specs))
        object.__setattr__(self, "then", then)
        object.__setattr__(self, "allow_failures", allow_failures)
        object.__setattr__(self, "result", result)


@record
class Repeat:
    """Complete this run, and open another one after `delay` (default: the command's period).

    The old run is kept among the finished ones. The new one has a fresh budget of attempts, and the same payload unless
    it is given another.
    """

    result: Any = None
    delay: timedelta | None = None
    payload: Any = UNCHANGED


@record
class Retry:
    """Use up one of the retries for another attempt after `delay` (default: at once).

    With none left the command fails for good, as after an exception.
    """

    delay: timedelta = timedelta(0)
    reason: str = "the handler asked for another attempt"


@record(init=False)
class ContinueSequence:
    """Complete, and enqueue the next command of the sequence with the payload so far and what is given here.

    At the end of the sequence it completes with what is given as its result.
    """

    data: dict[str, Any]

    def __init__(self, /, **data: Any) -> None:
        """Take what is to be added to the payload, which must be a JSON object."""
        object.__setattr__(self, "data", data)
