"""Ids are UUIDs of version 7: in the order of their time, and different at the same time."""

import copy
from datetime import UTC, datetime
from itertools import pairwise
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durex_core.clock import utc_now
from durex_core.ids import _Rising, is_ingested, made_at_milliseconds, new_id, new_ids, new_ingested_id, uuid7

milliseconds = st.integers(0, 2**48 - 1)
bits = st.integers(0, 2**74 - 1)
unmarked = st.integers(0, 2**73 - 1)


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


@pytest.mark.parametrize("count", [0, 1, 2, 10_000])
def test_several_ids_rise_between_those_before_and_those_after(count: int):
    before = new_id()
    made = new_ids(count)
    after = new_id()

    assert len(set(made)) == len(made) == count
    assert [before, *made, after] == sorted([before, *made, after])
    assert not any(is_ingested(each) for each in made)
    assert {(each.version, each.variant) for each in made} <= {(7, RFC_4122)}


@given(
    blocks=st.lists(st.tuples(st.integers(0, 2**47), unmarked | st.just(2**73 - 1), st.integers(1, 5)), min_size=1),
    step=st.sampled_from([0, 1, 2**40 - 1, 2**64 - 1]),
)
def test_several_ids_rise_whatever_the_clock_does_and_however_little_room_there_is(
    blocks: list[tuple[int, int, int]], step: int
):
    rising = _Rising()
    made = [each for time, randomness, count in blocks for each in rising.several(time, randomness, [step] * count)]

    assert all(earlier < later for earlier, later in pairwise(made))
    assert {(each.version, each.variant) for each in made} == {(7, RFC_4122)}
    assert not any(is_ingested(each) for each in made)


def test_an_id_is_as_good_as_one_of_pythons_own():
    made = new_id()

    assert copy.deepcopy(made) == copy.copy(made) == made == UUID(int=made.int)
    assert (made.is_safe, hash(made)) == (UUID(int=made.int).is_safe, hash(UUID(int=made.int)))
    with pytest.raises(TypeError, match="immutable"):
        made.int = 3  # type: ignore[misc]


@given(times=st.lists(st.tuples(milliseconds, st.booleans()), min_size=2), randomness=unmarked)
def test_ids_rise_whatever_the_clock_does_and_whoever_asks(times: list[tuple[int, bool]], randomness: int):
    rising = _Rising()
    made = [rising.next(time, randomness, is_ingested=is_marked) for time, is_marked in times]

    assert all(earlier < later for earlier, later in pairwise(made) if earlier.int >> 80 < 2**48 - 1)
    assert [is_ingested(each) for each in made] == [is_marked for _, is_marked in times]


def test_the_id_of_what_is_accepted_early_is_marked_and_no_other_is():
    made = [make() for _ in range(500) for make in (new_id, new_ingested_id)]

    assert [is_ingested(each) for each in made] == [False, True] * 500
    assert made == sorted(made)


def test_ids_of_other_versions_carry_no_mark():
    assert not is_ingested(UUID("9f1c6f0e-8a34-4c1b-9b3b-0c5a3f2d1e01"))


@given(unix_milliseconds=milliseconds, randomness=bits)
def test_an_id_tells_when_it_was_made(unix_milliseconds: int, randomness: int):
    assert made_at_milliseconds(uuid7(unix_milliseconds, randomness)) == unix_milliseconds
