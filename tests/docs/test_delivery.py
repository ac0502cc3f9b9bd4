"""What `docs/delivery.md` says of times is what the code does."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from pkgutil import resolve_name

from durex_core.aws import promises
from durex_core.local import worker
from durex_core.local.rest import AGAIN_AFTER
from durex_core.rules.wakes import LEAD, echo_of, fires_at, next_bucket
from durex_core.store import sqlite
from infra.plan import VISIBILITY_FACTOR
from infra.queues import DRAIN_TIMEOUT_SECONDS
from infra.settings import Settings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "delivery.md").read_text()
MINUTE = timedelta(minutes=1)

_FIGURE = re.compile(r"^\| .+ \| (\d+) (s|min) \| `([\w.]+)` \|$", re.MULTILINE)


def bound(path):
    """Return what the tables say of the lateness of a path, of which the beginning is given."""
    found = re.findall(rf"^\| {re.escape(path)}[^|]*\| (.+) \|$", PAGE, re.MULTILINE)
    assert len(found) == 1, f"{path}: {found}"
    return found[0]


def seconds(value):
    return value.total_seconds() if isinstance(value, timedelta) else value


def test_every_figure_is_that_of_the_code():
    figures = _FIGURE.findall(PAGE)

    assert len(figures) == PAGE[PAGE.index("| figure |") :].count("`durex_core.")
    told = {where: int(number) * {"s": 1, "min": 60}[unit] for number, unit, where in figures}
    assert told == {where: seconds(resolve_name(where)) for where in told}


def test_a_redelivery_comes_when_the_page_says():
    settings = Settings()
    timeout = settings.default_command_timeout_seconds + settings.timeout_margin_seconds

    assert (VISIBILITY_FACTOR, VISIBILITY_FACTOR * timeout) == (6, 7 * 60)
    assert f"| a worker is killed | {VISIBILITY_FACTOR} × its function's timeout;" in PAGE
    assert VISIBILITY_FACTOR * DRAIN_TIMEOUT_SECONDS == 6 * 60
    assert bound("accepted with `202` while the database is away").startswith("6 minutes")
    assert f"the sweep, {settings.sweep_hours} hours" in bound("both refuse")


def test_an_echo_comes_when_the_page_says():
    moments = [datetime(2026, 1, 31, tzinfo=UTC) + timedelta(seconds=second) for second in range(60)]
    waits = [echo_of(moment) - moment for moment in moments]

    assert (min(waits), max(waits)) == (timedelta(seconds=30), timedelta(seconds=59))
    assert promises._UNTIL_COMMIT.total_seconds() == 25
    assert bound("a wake is lost").startswith("60 s")


def test_the_alarm_that_stands_in_for_wakes_fires_when_the_page_says():
    """Scheduler is exact to a minute."""
    moments = [datetime(2026, 1, 31, tzinfo=UTC) + timedelta(seconds=second) for second in range(600)]
    waits = [fires_at(next_bucket(moment)) - moment for moment in moments]

    assert (min(waits), max(waits) + MINUTE) == (MINUTE, timedelta(seconds=12 * 60 - 1))
    assert bound("SQS refuses").startswith("12 minutes")
    assert "11 to 22 minutes" in bound("the same, commits later")
    assert LEAD > MINUTE


def test_a_worker_on_a_machine_is_as_late_as_the_page_says():
    assert f"{sqlite._LOOK_SECONDS * 1000:g} ms" == bound("ready now, enqueued by another process on SQLite")
    assert f"lasts {worker.LEASE.total_seconds():g} s" in PAGE
    assert bound("a limit of the process") == f"{worker._LIMITED_SECONDS:g} s"
    assert worker._SWEEP_EVERY_SECONDS == 3600
    assert AGAIN_AFTER == MINUTE
