"""Workers that share a database share its commands, and none runs a command that another has."""

import threading
from collections import Counter

from staging import wait_until

from durex_core import Context, Spec
from durex_core.results import Spawn


def test_every_command_runs_exactly_once(app, other, work, stage):
    runs = Counter()

    def leaf(ctx: Context) -> None:
        runs[ctx.id] += 1

    def parent(ctx: Context) -> Spawn:
        runs[ctx.id] += 1
        return Spawn(Spec("leaf"), Spec("leaf"))

    for one in (app, other):
        one.command("leaf")(leaf)
        one.command("parent")(parent)
    for one in (app, app, other, other):
        work(one, concurrency=4)
    app.enqueue_many([Spec("parent")] * 100)

    wait_until(lambda: stage.count("finished_commands") == 300)
    assert len(runs) == 300
    assert set(runs.values()) == {1}
    assert stage.count("commands") == 0
    assert stage.run("SELECT max(lease_number), max(attempt) FROM finished_commands") == [(1, 1)]


def test_all_workers_take_part(app, other, work, stage):
    # There are as many places as commands, and no command can end without the others.
    together = threading.Barrier(4)

    def meet() -> None:
        together.wait(20)

    for one in (app, other):
        for lane in range(4):
            one.command(f"meet_{lane}")(meet)
        work(one, concurrency=1)
        work(one, concurrency=1)
    app.enqueue_many([Spec(f"meet_{lane}") for lane in range(4)])

    wait_until(lambda: stage.count("finished_commands") == 4)
    assert stage.run("SELECT DISTINCT state FROM finished_commands") == [("completed",)]
