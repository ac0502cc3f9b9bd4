"""A command and what it leads to commit together, or not at all."""

from staging import wait_until

from durex_core import Context, Spec
from durex_core.model import State
from durex_core.results import Next, Spawn


def children_of(stage, enqueued):
    found = stage.run("SELECT id, name FROM all_commands WHERE parent_id = %s", str(enqueued.id))
    return sorted((name, str(child_id)) for child_id, name in found)


def test_next_completes_the_command_and_enqueues_one_child(app, work, finished, stage):
    @app.command("ship")
    def ship(order: int) -> str:
        return f"shipped {order}"

    @app.command("charge")
    def charge(order: int) -> Next:
        return Next(ship.spec(order, priority=3, tags=["fast"]), result={"charged": order})

    work()
    enqueued = charge.enqueue(42)

    assert finished(enqueued).result == {"charged": 42}
    ((name, child_id),) = children_of(stage, enqueued)
    assert name == "ship"
    wait_until(lambda: app.get(child_id).state.is_terminal, timeout_seconds=5)
    child = app.get(child_id)
    assert (child.state, child.result, child.priority, child.tags) == (State.COMPLETED, "shipped 42", 3, ("fast",))
    assert (child.parent_id, child.correlation_id) == (enqueued.id, str(enqueued.id))


def test_children_inherit_the_correlation_id_down_the_line(app, work, stage):
    @app.command("step")
    async def step(level: int) -> object:
        return Next(step.spec(level + 1)) if level < 3 else None

    work()
    step.enqueue(0, correlation_id="order 42")

    wait_until(lambda: stage.count("finished_commands") == 4)
    assert {row[0] for row in stage.run("SELECT correlation_id FROM all_commands")} == {"order 42"}


def test_spawn_enqueues_all_its_children(app, work, finished, stage):
    @app.command("leaf")
    def leaf(number: int) -> int:
        return number

    @app.command("fan_out")
    def fan_out() -> Spawn:
        return Spawn(*[leaf.spec(number) for number in range(10)], result="spread")

    work()
    enqueued = fan_out.enqueue()

    assert finished(enqueued).result == "spread"
    assert len(children_of(stage, enqueued)) == 10
    wait_until(lambda: stage.count("finished_commands") == 11, timeout_seconds=5)


def test_spawn_without_children_simply_completes(app, work, finished, stage):
    @app.command("none")
    def none() -> Spawn:
        return Spawn(result="nothing to do")

    work()

    assert finished(none.enqueue()).result == "nothing to do"
    assert stage.count("commands") == 0


BAD_CHILDREN = {
    "unknown": (Spec("unheard_of"), "UnknownCommand: name: no command named 'unheard_of' is registered"),
    "payload": (Spec("leaf", "no number"), "InvalidPayload: payload: Input should be a valid integer"),
    "option": (Spec("leaf", 1, priority=10**9), "InvalidSpec: priority: Input should be less than"),
    "text": ("leaf", "InvalidSpec: "),
    "nothing": (None, "InvalidSpec: "),
}


def test_a_bad_child_fails_its_parent_for_good_and_stores_nothing(app, work, finished, stage):
    @app.command("leaf")
    def leaf(number: int) -> None: ...

    @app.command("parent", retries=3)
    def parent(which: str) -> Spawn:
        return Spawn(leaf.spec(1), BAD_CHILDREN[which][0], leaf.spec(2))

    work()
    enqueued = {which: parent.enqueue(which) for which in BAD_CHILDREN}

    for which, (_, error) in BAD_CHILDREN.items():
        command = finished(enqueued[which])
        assert (command.state, command.attempt) == (State.DEAD_LETTER, 1)
        assert f"{command.error.type}: {command.error.message}".startswith(error)
    assert stage.run("SELECT count(*) FROM all_commands WHERE name = 'leaf'") == [(0,)]


def test_a_bad_result_beside_good_children_stores_neither(app, work, finished, stage):
    @app.command("leaf")
    def leaf() -> None: ...

    @app.command("parent")
    def parent() -> Next:
        return Next(leaf.spec(), result=object())

    work()
    enqueued = parent.enqueue()

    assert finished(enqueued).error.type == "InvalidResult"
    assert children_of(stage, enqueued) == []


def test_a_parent_whose_outcome_the_database_refuses_leaves_no_children(app, work, finished, stage):
    stage.refuse_result("forbidden")

    @app.command("leaf")
    def leaf() -> None: ...

    @app.command("parent")
    def parent() -> Next:
        return Next(leaf.spec(), result="forbidden")

    work()
    enqueued = parent.enqueue()

    assert finished(enqueued).state is State.DEAD_LETTER
    assert children_of(stage, enqueued) == []


def test_a_retry_of_a_parent_does_not_repeat_its_children(app, work, finished, stage):
    @app.command("leaf")
    def leaf() -> None: ...

    @app.command("parent", retries=2)
    def parent(ctx: Context) -> Next:
        if not ctx.is_last_attempt:
            raise ValueError("not yet")
        return Next(leaf.spec())

    work()
    enqueued = parent.enqueue()

    assert finished(enqueued).attempt == 3
    assert len(children_of(stage, enqueued)) == 1


def test_a_child_whose_unique_key_is_taken_is_the_one_that_holds_it(app, work, finished, stage):
    @app.command("leaf", queue="elsewhere")
    def leaf() -> None: ...

    @app.command("parent")
    def parent() -> Next:
        return Next(leaf.spec(unique_key="only one"))

    work(queues=["parent"])
    for enqueued in [parent.enqueue() for _ in range(5)]:
        assert finished(enqueued).state is State.COMPLETED
    assert stage.run("SELECT count(*) FROM commands WHERE unique_key = 'only one'") == [(1,)]
