"""What an invocation costs the database, counted at the wire."""

import errands
import psycopg
import pytest
from invocations import Invocation, failed, sqs_event, wake
from round_trips import RoundTrips

WAKE = wake(errands.QUEUE)
TRIES = 5


@pytest.fixture
def trips(app, postgres_url):
    """The round trips to the database of the errands."""
    with RoundTrips(postgres_url) as counted:
        app.use_database(counted.url)
        yield counted
        app.close()


def test_each_statement_is_counted_and_so_is_each_end_of_a_transaction(postgres_url):
    with RoundTrips(postgres_url) as trips, psycopg.connect(trips.url, autocommit=True) as connection:
        for number in range(1, 4):
            connection.execute("SELECT %s::int, repeat('x', 100000)", (number,))
            assert trips.count == number
        with connection.transaction():
            connection.execute("SELECT 1")
        assert trips.count == 6
        with connection.pipeline():
            for _ in range(3):
                connection.execute("SELECT 1")
        assert trips.count == 7


@pytest.mark.parametrize("messages", [1, 10])
def test_a_batch_of_plain_completions_costs_a_claim_and_a_settlement(worker, app, trips, messages):
    made = worker.make()
    seen = []
    for _ in range(1 + TRIES):
        ids = [errands.greet.enqueue(f"{number}").id for number in range(10)]
        before = trips.count

        assert failed(made.invoke(sqs_event(*[WAKE] * messages), Invocation(200))) == []

        seen.append(trips.count - before)
        assert {app.get(id_).attempt for id_ in ids} == {1}
    # The first one opens the connection. A machine that is busy may let an attempt end late, and by itself.
    assert min(seen[1:]) == 2, seen
