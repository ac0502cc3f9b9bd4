"""An impatient connection gives a silent server up, once and for all, and lets one that works take its time."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from faulty import Faulty

from durex_core.store.impatience import opened


@pytest.fixture
def faulty(postgres_url: str) -> Iterator[Faulty]:
    """A Postgres whose connection fails."""
    with Faulty(postgres_url) as faulty:
        yield faulty


def test_a_connection_to_a_silent_server_is_over_before_its_transaction_is_rolled_back(faulty: Faulty):
    with closing(opened(faulty.url, answer_seconds=0.2, autocommit=True)) as connection, connection.transaction():
        faulty.silent.set()

        with pytest.raises(psycopg.OperationalError, match=r"did not answer within 0\.2 s"):
            connection.execute("SELECT 1")

        assert connection.closed


def test_time_counts_for_each_answer_by_itself(faulty: Faulty):
    with closing(opened(faulty.url, answer_seconds=0.5, autocommit=True)) as connection:
        answers = [connection.execute("SELECT %s::int FROM pg_sleep(0.12)", [number]).fetchone() for number in range(6)]

    assert answers == [(number,) for number in range(6)]


def test_without_a_limit_a_connection_is_patient(faulty: Faulty):
    with closing(opened(faulty.url, answer_seconds=None, autocommit=True)) as connection:
        assert type(connection) is psycopg.Connection
