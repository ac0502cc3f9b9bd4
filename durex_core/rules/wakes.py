"""Wakes and alarms: when something must ring so that no ready command is left without anyone who comes for it.

A queue that has work, now or soon, gets a wake at that moment and an echo shortly after it: a wake that gets lost costs
half a minute, not the command. What is due later than a wake can be kept back gets an alarm, which fires before its
time and sends the wake then. All is counted in slots and buckets, so that many commands share what rings.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import field
from datetime import UTC, datetime, timedelta

from durex_core.records import record

LONGEST_DELAY = timedelta(minutes=15)
"""How long SQS keeps a message back at most (`DelaySeconds` of 900)."""

BUCKET = timedelta(minutes=10)
"""Commands due in the same ten minutes share an alarm."""

LEAD = timedelta(minutes=2)
"""How long before its bucket an alarm fires: the scheduler is exact to a minute, and clocks differ."""

ECHO_AFTER = timedelta(seconds=30)
"""How long after its wake a queue's echo comes at the earliest; at the latest it is twice that."""

MOST_WAKES = 10
"""How many wakes share the work of a queue at most: as many as SQS takes in one call."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@record
class Due:
    """When a queue has work, about how much of it, and how long the chain of commands is that led to it.

    Each command of a chain was enqueued or retried, without a delay, by the one before it. `wakes` bounds how many
    wakes share the work. With `is_told` the commit told already whoever listens to the database.
    """

    delay: timedelta = timedelta(0)
    count: int = 1
    depth: int = 0
    wakes: int = MOST_WAKES
    is_told: bool = field(default=False, compare=False)


def due_by_queue(work: Iterable[tuple[str, timedelta]]) -> dict[str, Due]:
    """Return for each queue when the first of its commands is due, and how many are due then.

    What is due later is found by the claim that the first one brings about.
    """
    due: dict[str, Due] = {}
    for (queue, delay), count in Counter(work).items():
        if queue not in due or delay < due[queue].delay:
            due[queue] = Due(delay, count)
    return due


def bucket_of(moment: datetime) -> datetime:
    """Return the beginning of the ten minutes that a moment is in."""
    return moment - (moment - _EPOCH) % BUCKET


def fires_at(bucket: datetime) -> datetime:
    """Return when the alarm of a bucket fires."""
    return bucket - LEAD


def next_bucket(now: datetime) -> datetime:
    """Return the first bucket whose alarm can still be set: it fires in a minute or later."""
    bucket = bucket_of(now + LEAD + timedelta(minutes=1))
    return bucket if fires_at(bucket) >= now + timedelta(minutes=1) else bucket + BUCKET


def echo_of(moment: datetime) -> datetime:
    """Return when the echo of a wake at a moment comes: on a half minute that many wakes share."""
    return moment + ECHO_AFTER + (_EPOCH - moment) % ECHO_AFTER
