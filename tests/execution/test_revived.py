"""A command that ended badly is given a new life, and a worker lives it to its end."""

from collections.abc import Callable

from staging import Hand, wait_until

from durex_core import Context, Durex
from durex_core.model import State


def test_a_dead_letter_that_is_replayed_has_all_its_attempts_again(app: Durex, work: Callable[..., Hand]):
    attempts: list[int] = []
    is_mended: list[bool] = []

    @app.command("flaky", retries=1)
    def flaky(ctx: Context) -> str:
        attempts.append(ctx.attempt)
        if is_mended and ctx.attempt == 2:
            return "at last"
        raise RuntimeError("not yet")

    work()
    command_id = flaky.enqueue().id
    wait_until(lambda: app.get(command_id).state is State.DEAD_LETTER)
    is_mended.append(True)
    app.replay(command_id)
    ended = wait_until(lambda: app.get(command_id) if app.get(command_id).state is State.COMPLETED else None)

    assert attempts == [1, 2, 1, 2]
    assert (ended.result, ended.attempt, ended.lease_number) == ("at last", 2, 4)
    assert [event.event for event in app.history(command_id)] == [
        *("created", "started", "failed", "started", "failed", "retrying"),
        *("started", "failed", "started", "completed"),
    ]


def test_a_command_that_is_cancelled_while_it_runs_stays_cancelled(app: Durex, work: Callable[..., Hand]):
    running: list[bool] = []
    ended: list[bool] = []

    @app.command("slow")
    def slow() -> str:
        running.append(True)
        wait_until(lambda: ended)
        return "too late"

    hand = work()
    command_id = slow.enqueue().id
    wait_until(lambda: running)
    app.cancel(command_id, "a slip")
    ended.append(True)
    hand.stop()

    command = app.get(command_id)
    assert (command.state, command.result) == (State.CANCELLED, None)
