"""Partitions of the finished commands on Postgres: made ahead, dropped whole, few, and never in the way of a settle."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from factories import START, error_info
from hypothesis import given
from hypothesis import strategies as st
from virtual_store import VirtualStore, drop_partitions, partitions, query

from durex_core.model import Retention, RetentionPolicy
from durex_core.passes.prune import prune
from durex_core.rules.outcomes import Failed, Returned
from durex_core.store.database import Database, open_database
from durex_core.store.partitions import Span, _try_lock, keep_up, spans_needed

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
POLICY = RetentionPolicy(completed=7 * DAY, attention=90 * DAY)
MOST_OF_A_CLASS = 16
MOST_IN_ALL = 40


@pytest.fixture
def store(postgres_url: str) -> Iterator[VirtualStore]:
    """The store on a Postgres without any partition but the DEFAULT ones."""
    database = open_database(postgres_url)
    drop_partitions(database)
    yield VirtualStore(database)
    database.close()


def test_partitions_are_made_from_today_until_two_spans_ahead(store: VirtualStore):
    assert maintain(store) == 6

    assert partitions(store.database) == [
        "durex.finished_attention_20260301_20260309",
        "durex.finished_attention_20260309_20260317",
        "durex.finished_attention_20260317_20260325",
        "durex.finished_completed_20260301_20260302",
        "durex.finished_completed_20260302_20260303",
        "durex.finished_completed_20260303_20260304",
    ]


def test_partitions_that_stand_are_left_alone(store: VirtualStore):
    maintain(store)

    assert maintain(store) == 0

    store.advance(DAY)
    assert maintain(store) == 1
    assert partitions(store.database)[-1] == "durex.finished_completed_20260304_20260305"


def test_no_partition_is_vacuumed_for_what_is_added_to_it(store: VirtualStore):
    maintain(store)

    with store.database.autocommit() as connection:
        found = query(
            connection,
            "SELECT reloptions FROM pg_partition_tree('durex.finished_commands') JOIN pg_class ON oid = relid"
            " WHERE isleaf",
        )

    assert [row["reloptions"] for row in found] == [["autovacuum_vacuum_insert_threshold=-1"]] * 8


def test_without_virtual_time_the_database_tells_the_day(store: VirtualStore):
    today: date = query_one(store, "SELECT (now() AT TIME ZONE 'UTC')::date AS today")

    assert store.database.transact(lambda connection: keep_up(connection, POLICY)) == 6

    names = partitions(store.database)
    assert f"durex.finished_completed_{today:%Y%m%d}_{today + DAY:%Y%m%d}" in names


def test_a_finished_command_goes_into_the_partition_of_its_day(store: VirtualStore):
    maintain(store)
    completed, dead = store.start(), store.start()
    store.settle(completed, Returned())
    store.advance(DAY)
    store.settle(dead, Failed(error_info(), retryable=False))

    assert place_of(store, completed.id) == "durex.finished_completed_20260301_20260302"
    assert place_of(store, dead.id) is None  # its lease was over
    dead = store.claim_one()
    store.settle(dead, Failed(error_info(), retryable=False))
    assert place_of(store, dead.id) == "durex.finished_attention_20260301_20260309"


def test_a_partition_is_dropped_whole_once_its_newest_moment_is_past_the_retention(store: VirtualStore):
    maintain(store)
    attempt = store.start()
    store.settle(attempt, Returned())

    store.now = MIDNIGHT + DAY + POLICY.completed - MICROSECOND
    maintain(store)
    assert store.find(attempt.id) is not None

    store.advance(MICROSECOND)
    maintain(store)
    assert store.find(attempt.id) is None
    assert "durex.finished_completed_20260301_20260302" not in partitions(store.database)
    assert "durex.finished_attention_20260301_20260309" in partitions(store.database)


def test_a_command_can_finish_without_any_partition(store: VirtualStore):
    attempt = store.start()

    assert store.settle(attempt, Returned("done"))

    assert place_of(store, attempt.id) == "durex.finished_completed_default"
    assert store.get(attempt.id).result == "done"


def test_a_command_can_finish_on_a_day_beyond_all_partitions(store: VirtualStore):
    maintain(store)
    store.advance(timedelta(days=1000))
    attempt = store.start()

    assert store.settle(attempt, Returned())

    assert place_of(store, attempt.id) == "durex.finished_completed_default"


def test_rows_in_the_default_partition_keep_only_their_own_days_from_a_partition(store: VirtualStore):
    attempt = store.start()
    store.settle(attempt, Returned())

    assert maintain(store) == 5

    assert [name for name in partitions(store.database) if "completed" in name] == [
        "durex.finished_completed_20260302_20260303",
        "durex.finished_completed_20260303_20260304",
    ]
    assert store.find(attempt.id) is not None


def test_a_deployment_whose_passes_slept_recovers_by_itself(store: VirtualStore):
    maintain(store)
    store.advance(timedelta(days=30))
    slept = store.start()
    store.settle(slept, Returned())
    old = partitions(store.database)

    prune(store.database, POLICY, now=store.now)
    assert not any(name in partitions(store.database) for name in old if "completed" in name)
    assert store.find(slept.id) is not None

    store.advance(POLICY.completed)
    assert prune(store.database, POLICY, now=store.now).commands == 1
    assert store.find(slept.id) is None
    after = store.start()
    store.settle(after, Returned())
    assert place_of(store, after.id) == f"durex.finished_completed_{store.now:%Y%m%d}_{store.now + DAY:%Y%m%d}"


def test_a_changed_retention_goes_on_from_the_last_bound(store: VirtualStore):
    maintain(store)
    store.advance(DAY)

    maintain(store, RetentionPolicy(completed=90 * DAY, attention=90 * DAY))

    assert [name for name in partitions(store.database) if "completed" in name] == [
        "durex.finished_completed_20260301_20260302",
        "durex.finished_completed_20260302_20260303",
        "durex.finished_completed_20260303_20260304",
        "durex.finished_completed_20260304_20260312",
        "durex.finished_completed_20260312_20260320",
    ]


def test_partitions_stay_few_over_the_months(store: VirtualStore):
    most = 0
    for _ in range(60):
        maintain(store)
        most = max(most, len(partitions(store.database)))
        store.advance(2 * DAY)

    assert most + len(["completed default", "attention default"]) <= MOST_IN_ALL


def test_partitions_are_kept_up_by_one_process_at_a_time(store: VirtualStore):
    with store.database.transaction() as other:
        assert _try_lock(other.raw)  # type: ignore[attr-defined]  # a Postgres connection
        assert maintain(store) == 0

    assert maintain(store) == 6


@pytest.mark.slow
def test_keeping_up_does_not_wait_for_a_long_transaction_it_leaves_the_rest_for_the_next_time(store: VirtualStore):
    attempt = store.start()

    with ThreadPoolExecutor(1) as pool, store.database.transaction() as long:
        query(long, "SELECT FROM durex.finished_attention_default")
        assert pool.submit(maintain, store).result(60) == 3

    assert store.settle(attempt, Returned())
    assert {name.split("_")[1] for name in partitions(store.database)} == {"completed"}
    assert maintain(store) == 3


def test_sqlite_has_no_partitions_to_keep_up(sqlite_url: str):
    database: Database = open_database(sqlite_url)

    assert database.transact(lambda connection: keep_up(connection, POLICY, now=START)) == 0

    database.close()


moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
retentions = st.timedeltas(timedelta(0), timedelta(days=3660))


@given(keep=retentions, now=moments)
def test_the_first_spans_are_whole_days_without_a_gap_from_today_until_two_spans_ahead(keep: timedelta, now: datetime):
    spans = list(spans_needed([], keep, now))
    lengths = {end - start for start, end in spans}

    assert spans[0][0] <= now < spans[0][0] + DAY
    assert all(earlier[1] == later[0] for earlier, later in pairwise(spans))
    assert len(lengths) == 1
    (length,) = lengths
    assert length >= DAY
    assert length % DAY == timedelta(0)
    assert now + 2 * length < spans[-1][1] <= now + 3 * length


@given(keep=retentions, now=moments)
def test_no_span_is_needed_twice(keep: timedelta, now: datetime):
    assert list(spans_needed(list(spans_needed([], keep, now)), keep, now)) == []


@given(keep=retentions, now=moments, pauses=st.lists(st.timedeltas(timedelta(0), timedelta(days=40)), max_size=60))
def test_whenever_the_pass_runs_the_present_is_covered_without_overlap_and_the_spans_stay_few(
    keep: timedelta, now: datetime, pauses: list[timedelta]
):
    spans: list[Span] = []
    for pause in [timedelta(0), *pauses]:
        now += pause
        spans = sorted(spans + list(spans_needed(spans, keep, now)))
        spans = [span for span in spans if span[1] > now - keep]

        assert any(start <= now < end for start, end in spans)
        assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))
        assert len(spans) <= MOST_OF_A_CLASS


def maintain(store: VirtualStore, policy: RetentionPolicy = POLICY) -> int:
    return store.database.transact(lambda connection: keep_up(connection, policy, now=store.now))


def place_of(store: VirtualStore, command_id: object) -> str | None:
    with store.database.autocommit() as connection:
        found = query(
            connection,
            "SELECT tableoid::regclass::text AS place FROM durex.finished_commands WHERE id = %s",
            [command_id],
        )
    return found[0]["place"] if found else None


def query_one(store: VirtualStore, text: str) -> date:
    with store.database.autocommit() as connection:
        (row,) = query(connection, text)
    (value,) = row.values()
    assert isinstance(value, date)
    return value


def test_each_class_has_its_own_partitions(store: VirtualStore):
    maintain(store)

    for retention in Retention:
        assert sum(f"finished_{retention}_" in name for name in partitions(store.database)) == 3
