from datetime import UTC, datetime, timedelta, timezone

import pytest

from durex_core.cli.rendering import duration, last_frames, last_place, moment, one_line, printable

TRACEBACK = """Traceback (most recent call last):
  File "/lib/durex_core/execution/runner.py", line 139, in _run_function
    value = handler.function()
            ^^^^^^^^^^^^^^^^^^
  File "/shop/commands.py", line 12, in charge
    bank.take(order)
  File "/shop/bank.py", line 3, in take
    raise Declined("no")
shop.bank.Declined: no
"""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 ms"),
        (0.0125, "12 ms"),
        (1.5, "1.50 s"),
        (30, "30 s"),
        (200, "3 min 20 s"),
        (240, "4 min"),
        (7_260, "2 h 1 min"),
        (86_400, "24 h"),
    ],
)
def test_durations_read_as_a_person_would_say_them(seconds, said):
    assert duration(seconds) == said


def test_moments_are_told_in_utc_and_beside_one_of_the_same_day_by_their_time_alone():
    noon = datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC)
    elsewhere = noon.astimezone(timezone(timedelta(hours=-9)))
    assert moment(elsewhere) == "2026-01-31 12:00:00.123"
    assert moment(elsewhere, beside=noon) == "12:00:00.123"
    assert moment(noon + timedelta(days=1), beside=noon) == "2026-02-01 12:00:00.123"


def test_text_cannot_steer_the_terminal():
    assert printable("a\x1b[31mb\x9bc\r\n\td") == "a\\x1b[31mb\\x9bc\\x0d\n\td"
    assert one_line("a\r\n\tb\x00") == "a b\\x00"


def test_a_traceback_is_cut_to_the_applications_last_frames():
    assert last_place(TRACEBACK) == "/shop/bank.py:3 in take"
    assert last_frames(TRACEBACK, 1) == 'File "/shop/bank.py", line 3, in take\n  raise Declined("no")'
    assert last_frames(TRACEBACK, 9).splitlines()[0] == 'File "/shop/commands.py", line 12, in charge'
    assert (last_place(None), last_frames(None, 2)) == (None, "")
