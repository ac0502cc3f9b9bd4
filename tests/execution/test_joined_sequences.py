"""A sequence among the commands that another one waits for: what counts is the end of its last command."""

from staging import wait_until

from durex_core import Context
from durex_core.model import State
from durex_core.results import ContinueSequence, SpawnThen


def commands_of(app, *, ship):
    """Register a parent that waits for a sequence of two and a single command; return what `then` was told."""
    told = []

    @app.command("parent")
    def parent():
        return SpawnThen([app_spec("pack", {"id": 1}, ("ship",)), app_spec("bill", None, ())], then.spec())

    def app_spec(name, payload, sequence):
        return {"pack": pack, "bill": bill}[name].spec(payload, sequence=sequence)

    @app.command("pack")
    def pack(data: dict):  # noqa: ARG001
        return ContinueSequence(packed=True)

    app.command("ship")(ship)

    @app.command("bill")
    def bill():
        return "billed"

    @app.command("then")
    def then(ctx: Context):
        told.append([(child.position, child.name, child.state, child.result) for child in ctx.children])

    @then.on_recover
    def failed(ctx: Context, error):
        told.append([(child.position, child.name, child.state) for child in ctx.children])
        told.append(error.type)

    return parent, told


def test_the_last_command_of_a_sequence_is_waited_for(app, work, finished):
    parent, told = commands_of(app, ship=lambda data: {"shipped": data["packed"]})
    work()

    finished(parent.enqueue())

    wait_for(app, "then")
    assert told == [
        [(0, "ship", State.COMPLETED, {"shipped": True}), (1, "bill", State.COMPLETED, "billed")],
    ]


def test_a_sequence_that_fails_midway_fails_what_waits_for_it(app, work, finished):
    def ship(data):
        raise ValueError(data)

    parent, told = commands_of(app, ship=ship)
    work()

    finished(parent.enqueue())

    wait_for(app, "then")
    assert told == [[(0, "ship", State.DEAD_LETTER), (1, "bill", State.COMPLETED)], "ChildrenFailed"]


def wait_for(app, name):
    wait_until(lambda: [c for c in app.find(names=[name]).commands if c.state.is_terminal])
