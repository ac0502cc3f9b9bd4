import io
import re
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from durex_core.cli.output import console
from durex_core.cli.show import _panel
from durex_core.model import ChildResult, Ending, Extras, State
from durex_core.operations.describe import describe


@pytest.fixture
def failed(durex_on_each):
    """The id of a command that ran and failed for good."""
    command_id = durex_on_each.enqueue("fail", None, "--tag", "[bold]odd", "--correlation-id", "c-1")
    with durex_on_each.running("worker") as worker:
        durex_on_each.finished(command_id)
        worker.send(signal.SIGTERM)
        assert worker.end() == 0
    return command_id


def test_a_command_is_shown_with_its_history_and_where_it_failed(durex_on_each, failed):
    done = durex_on_each.run("show", failed)
    assert done.returncode == 0
    for text in (failed, "fail  dead_letter", "1 of 1", "[bold]odd", "c-1", "created", "started", "on purpose"):
        assert text in done.stdout
    assert re.search(r"shop\.py:\d+ in fail", done.stdout)
    assert re.search(r"created +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", done.stdout)
    assert "\x1b" not in done.stdout


def test_json_gives_the_document_of_the_api(durex_on_each, failed):
    document = durex_on_each.json("show", failed)
    assert document == describe(durex_on_each.stored(failed))
    assert document["error"]["message"] == "on purpose\x1b[31m\nfor two lines"
    assert [event["event"] for event in document["history"]] == ["created", "started", "failed", "recovered"]


def test_a_payload_is_shown_and_a_long_one_is_cut(durex_here):
    short = durex_here.run("show", durex_here.enqueue("process_order", {"id": "é[red]", "amount": 1}))
    long = durex_here.run("show", durex_here.enqueue("process_order", {"id": "x" * 10_000, "amount": 1}))
    assert '"id": "é[red]"' in short.stdout
    assert "--json shows them" in long.stdout
    assert len(long.stdout) < 6_000


def test_an_unknown_id_is_a_failure_and_a_malformed_one_wrong_use(durex_here):
    unknown = durex_here.run("show", "019a2063-fc05-72e4-9bc1-56922de41a35", "--json")
    malformed = durex_here.run("show", "42", "--json")
    assert (unknown.returncode, malformed.returncode) == (1, 2)
    assert "error: no command has the id 019a2063" in unknown.stderr
    assert '"type": "CommandNotFound"' in unknown.stdout
    assert '"field": "id"' in malformed.stdout


def test_all_that_is_known_of_a_command_is_shown(durex_here):
    command_id = UUID(durex_here.enqueue("process_order", {"id": "1", "amount": 1}))
    parent, child = UUID(int=1), ChildResult(0, UUID(int=2), "pack", State.FAILED)
    extras = Extras(
        start_within=timedelta(minutes=5),
        period=timedelta(hours=2),
        metadata={"origin": "shop"},
        sequence=("charge", "ship"),
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )
    known = replace(
        durex_here.stored(str(command_id)),
        state=State.REPEATING,
        deadline_at=datetime(2026, 3, 1, tzinfo=UTC),
        ready_at=datetime(2026, 2, 1, tzinfo=UTC),
        ending=Ending.FAILED,
        extras=extras,
        progress={"done": 3},
        join_id=parent,
        awaits=2,
        children=(child,),
    )

    shown = io.StringIO()
    console(shown).print(_panel(known))

    for text in (
        *("deadline", "2026-03-01 00:00:00", "start within", "5 min", "period", "2 h", "is to end as"),
        *("charge, ship", "00-4bf92f3577b34da6a3ce929d0e0e4736", '"origin": "shop"', '"done": 3', "2 commands"),
        *(f"awaited by {parent}", f"{child.id} pack failed", "ready 2026-02-01"),
    ):
        assert text in " ".join(shown.getvalue().split()), text
