"""Ids are UUIDs of version 7: in the order of their time, and different at the same time."""

from datetime import UTC, datetime
from itertools import pairwise
from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from durex_core.clock import utc_now
from durex_core.ids import _Rising, new_id, uuid7

milliseconds = st.integers(0, 2**48 - 1)
bits = st.integers(0, 2**74 - 1)


@given(unix_milliseconds=milliseconds, randomness=bits)
def test_an_id_has_version_seven_and_the_variant_of_the_rfc(unix_milliseconds: int, randomness: int):
    made = uuid7(unix_milliseconds, randomness)

    assert (made.version, made.variant) == (7, RFC_4122)
    assert UUID(str(made)) == made


@given(unix_milliseconds=milliseconds, randomness=bits)
def test_an_id_holds_its_time_and_every_bit_of_its_randomness(unix_milliseconds: int, randomness: int):
    made = uuid7(unix_milliseconds, randomness)

    assert made.int >> 80 == unix_milliseconds
    assert (made.int >> 64 & 0xFFF) << 62 | made.int & (1 << 62) - 1 == randomness


@given(earlier=milliseconds, later=milliseconds, first=bits, second=bits)
def test_ids_sort_by_their_time_as_numbers_and_as_text(earlier: int, later: int, first: int, second: int):
    one, other = uuid7(earlier, first), uuid7(later, second)

    if earlier < later:
        assert one < other
        assert str(one) < str(other)


def test_the_example_of_the_rfc():
    # RFC 9562, appendix A.6: rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F, at 2022-02-22 19:22:22 UTC
    made = uuid7(0x017F22E279B0, 0xCC3 << 62 | 0x18C4DC0C0C07398F)

    assert made == UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")


def test_a_time_too_large_does_not_reach_into_the_version():
    assert uuid7(2**48 + 5, 0) == uuid7(5, 0)


def test_new_ids_are_different_and_carry_the_present():
    before = utc_now()
    made = [new_id() for _ in range(1000)]
    after = utc_now()

    assert len(set(made)) == len(made)
    for command_id in (made[0], made[-1]):
        moment = datetime.fromtimestamp((command_id.int >> 80) / 1000, UTC)
        assert before.replace(microsecond=before.microsecond // 1000 * 1000) <= moment <= after


def test_new_ids_rise_one_after_the_other():
    made = [new_id() for _ in range(10_000)]

    assert made == sorted(made)


@given(times=st.lists(milliseconds, min_size=2), randomness=bits)
def test_ids_rise_whatever_the_clock_does(times: list[int], randomness: int):
    rising = _Rising()
    made = [rising.next(time, randomness) for time in times]

    assert all(earlier < later for earlier, later in pairwise(made) if earlier.int >> 80 < 2**48 - 1)
