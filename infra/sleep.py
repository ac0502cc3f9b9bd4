"""How long the database of a sleeping deployment is awake for a sweep that finds nothing."""

from infra.settings import Settings

TICK_SECONDS = 50
"""The tick function's timeout: below a minute, so that the ticks of a deployment that does not sleep never overlap."""

IDLE_SESSION_SECONDS = 60
"""How long a frozen function's connection lasts before the database roles' timeout ends it."""


def sweep_seconds(settings: Settings) -> int:
    """Return the seconds from one sweep to the next."""
    return settings.sweep_hours * 3600


def awake_seconds(settings: Settings) -> int:
    """Return the seconds from the beginning of a sweep to the pause after it, at most."""
    return TICK_SECONDS + IDLE_SESSION_SECONDS + settings.auto_pause_seconds
