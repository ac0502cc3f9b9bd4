"""What an application puts around the attempts of its commands."""

from dataclasses import field

from durex_core.execution.limiter import Limiter
from durex_core.execution.middleware import Middleware
from durex_core.observer import Observers
from durex_core.records import record


@record
class Surroundings:
    """The middleware around every handler, the limits on how many run, and who hears of it."""

    middleware: list[Middleware] = field(default_factory=list)
    limiter: Limiter = field(default_factory=Limiter)
    observers: Observers = field(default_factory=Observers)
