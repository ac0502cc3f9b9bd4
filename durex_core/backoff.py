"""Backoff: how long a failed command waits before its next attempt.

Values only; `rules.backoff.delay_before` turns one into a delay. Defaults follow the Go library durex: factor 2, five
minutes at most, ten per cent of jitter.
"""

from dataclasses import field, fields, make_dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict

from durex_core.fields import Field, adapter
from durex_core.records import record

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Duration = Annotated[timedelta, Field(ge=timedelta(0), le=timedelta(days=366))]


class _Checked:
    """Checks what it is made of."""

    __slots__ = ()
    __pydantic_config__ = ConfigDict(extra="forbid", ser_json_timedelta="float")

    def __post_init__(self) -> None:
        """Hold what the annotations say, or refuse to be made."""
        kind: Any = type(self)
        names = [each.name for each in fields(kind)]
        checked = _checker(kind).validate_python({name: getattr(self, name) for name in names})
        for name in names:
            object.__setattr__(self, name, getattr(checked, name))


@cache
def _checker(kind: Any) -> "TypeAdapter[Any]":
    """Return what checks the fields of a kind of backoff: a class with the same, which does not check itself."""
    return adapter(make_dataclass(kind.__name__, [(each.name, each.type) for each in fields(kind)]))


@record
class NoBackoff(_Checked):
    """Try again at once (the default)."""

    kind: Literal["none"] = "none"


@record
class Constant(_Checked):
    """Wait the same `delay` before every attempt."""

    delay: Duration = timedelta(seconds=1)
    kind: Literal["constant"] = "constant"


@record
class Linear(_Checked):
    """Wait `initial_delay` × the attempt that failed, `max_delay` at most."""

    initial_delay: Duration = timedelta(seconds=1)
    max_delay: Duration = timedelta(minutes=5)
    kind: Literal["linear"] = "linear"


@record
class Exponential(_Checked):
    """Wait `initial_delay` × `factor` to the power of the failures before, `max_delay` at most."""

    initial_delay: Duration = timedelta(seconds=1)
    factor: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)] = 2.0
    max_delay: Duration = timedelta(minutes=5)
    kind: Literal["exponential"] = "exponential"


Plain = Annotated[NoBackoff | Constant | Linear | Exponential, Field(discriminator="kind")]


@record
class Jittered(_Checked):
    """Spread the delay of `backoff` by ± `rate` (0 to 1), so that failures of one moment do not return together."""

    backoff: Plain = field(default_factory=Exponential)
    rate: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.1
    kind: Literal["jittered"] = "jittered"


Backoff = Annotated[NoBackoff | Constant | Linear | Exponential | Jittered, Field(discriminator="kind")]
