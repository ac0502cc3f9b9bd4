"""Backoff: how long a failed command waits before its next attempt.

Values only; `rules.backoff.delay_before` turns one into a delay. Defaults follow the Go library durex: factor 2, five
minutes at most, ten per cent of jitter.
"""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

_CONFIG = ConfigDict(extra="forbid", ser_json_timedelta="float", use_enum_values=True)

Duration = Annotated[timedelta, Field(ge=timedelta(0), le=timedelta(days=366))]


@dataclass(frozen=True, slots=True, config=_CONFIG)
class NoBackoff:
    """Try again at once (the default)."""

    kind: Literal["none"] = "none"


@dataclass(frozen=True, slots=True, config=_CONFIG)
class Constant:
    """Wait the same `delay` before every attempt."""

    delay: Duration = timedelta(seconds=1)
    kind: Literal["constant"] = "constant"


@dataclass(frozen=True, slots=True, config=_CONFIG)
class Linear:
    """Wait `initial_delay` × the attempt that failed, `max_delay` at most."""

    initial_delay: Duration = timedelta(seconds=1)
    max_delay: Duration = timedelta(minutes=5)
    kind: Literal["linear"] = "linear"


@dataclass(frozen=True, slots=True, config=_CONFIG)
class Exponential:
    """Wait `initial_delay` × `factor` to the power of the failures before, `max_delay` at most."""

    initial_delay: Duration = timedelta(seconds=1)
    factor: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)] = 2.0
    max_delay: Duration = timedelta(minutes=5)
    kind: Literal["exponential"] = "exponential"


Plain = Annotated[NoBackoff | Constant | Linear | Exponential, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True, config=_CONFIG)
class Jittered:
    """Spread the delay of `backoff` by ± `rate` (0 to 1), so that failures of one moment do not return together."""

    backoff: Plain = Exponential()
    rate: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.1
    kind: Literal["jittered"] = "jittered"


Backoff = Annotated[NoBackoff | Constant | Linear | Exponential | Jittered, Field(discriminator="kind")]
