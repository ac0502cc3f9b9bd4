"""The simulation as a user's tests have it."""

from datetime import timedelta

import pytest

from durex_core import Durex, Spec, ids
from durex_core.clock import unix_milliseconds, utc_now
from durex_core.model import Accepted, State
from durex_core.operations import enqueue
from durex_core.results import Next
from durex_core.testing import SimulatedCloud
from durex_core.testing.cloud import Fate, OneFault, RandomFaults, Way

NOWHERE = "sqlite:////no/such/folder/own.db"
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def app() -> Durex:
    """An application whose own database cannot be opened."""
    app = Durex(NOWHERE)

    @app.command("greet", retries=1, timeout=MINUTE)
    def greet(name: str) -> str:
        return f"hello {name}"

    @app.command("invite", timeout=MINUTE)
    async def invite(name: str) -> Next:
        return Next(greet.spec(name), result="invited")

    return app


def test_a_command_runs_when_it_is_due(app: Durex):
    with SimulatedCloud(app) as cloud:
        cloud.request(lambda: app.enqueue("greet", "ada", delay=DAY))
        cloud.run(DAY - MINUTE)
        (command,) = app.find()
        assert command.state is State.SCHEDULED

        cloud.run(2 * MINUTE)

        assert (app.get(command.id).state, app.get(command.id).result) == (State.COMPLETED, "hello ada")


def test_what_handlers_enqueue_runs_too_and_coroutines_do(app: Durex):
    with SimulatedCloud(app) as cloud:
        cloud.request(lambda: app.enqueue("invite", "ada"))

        assert cloud.run_until_done(MINUTE)
        assert sorted(str(command.result) for command in app.find()) == ["hello ada", "invited"]


def test_a_killed_invocation_is_made_good_by_the_redelivery_of_its_wake(app: Durex):
    """Calls are counted from 0: three of the request, the claim, and then the handler's."""
    with SimulatedCloud(app, faults=OneFault(4, Fate.KILLED)) as cloud:
        cloud.request(lambda: app.enqueue("greet", "ada"))

        assert cloud.run_until_done(timedelta(hours=1))
        (command,) = app.find()
        assert (command.attempt, [past.outcome for past in command.history]) == (2, ["crashed"])
        assert "handler:greet never happens" in cloud.world.trace


def test_a_command_is_accepted_while_the_database_is_away(app: Durex):
    with SimulatedCloud(app) as cloud:
        cloud.lose_database(after=timedelta(0), lasting=10 * MINUTE)
        answers: list[object] = []
        cloud.request(lambda: answers.append(cloud.accept(Spec("greet", "ada"))), after=MINUTE)
        cloud.run(2 * MINUTE)
        assert [type(answer) for answer in answers] == [Accepted]

        assert cloud.run_until_done(timedelta(hours=1))
        assert [command.result for command in app.find()] == ["hello ada"]


def test_the_weather_is_the_same_for_the_same_seed(app: Durex):
    def trace(seed: int) -> str:
        with SimulatedCloud(app, faults=RandomFaults(seed, ways=(Way.DOUBLED,)), seed=seed, is_checked=False) as cloud:
            cloud.request(lambda: app.enqueue("invite", "ada"))
            cloud.run(DAY)
            return cloud.world.trace

    assert trace(1) == trace(1) != trace(2)


def test_afterwards_the_application_and_the_clocks_are_what_they_were(app: Durex):
    with SimulatedCloud(app) as cloud:
        cloud.request(lambda: app.enqueue("greet", "ada"))
        cloud.run(MINUTE)
        assert ids.unix_milliseconds() == int(cloud.now.timestamp() * 1000)
        assert enqueue.utc_now() == cloud.now

    assert (ids.unix_milliseconds, enqueue.utc_now) == (unix_milliseconds, utc_now)
    assert app.database_url == NOWHERE


def test_what_is_wrong_in_the_simulation_itself_is_raised_in_the_test(app: Durex):
    def broken() -> None:
        raise LookupError("a test's own fault")

    with SimulatedCloud(app) as cloud:
        cloud.after(MINUTE, broken)

        with pytest.raises(LookupError, match="a test's own fault"):
            cloud.run(DAY)
