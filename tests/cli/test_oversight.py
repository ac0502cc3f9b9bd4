"""`durex list`, `cancel`, `retry`, `replay` and `stats`."""

import signal

import psycopg
import pytest

from durex_core.model import State
from durex_core.operations.describe import describe

UNKNOWN_ID = "019a2063-fc05-72e4-9bc1-56922de41a35"
ORDER = {"id": "42", "amount": 7}


@pytest.fixture
def failed(durex_on_each):
    """The id of a command that ran and failed for good."""
    command_id = durex_on_each.enqueue("fail", None, "--tag", "[bold]odd")
    with durex_on_each.running("worker") as worker:
        durex_on_each.finished(command_id)
        worker.send(signal.SIGTERM)
        assert worker.end() == 0
    return command_id


def test_commands_are_listed_for_people_and_as_the_document_of_the_api(durex_on_each, failed):
    waiting = durex_on_each.enqueue("process_order", ORDER, "--delay", "60")

    done = durex_on_each.run("list")
    document = durex_on_each.json("list")

    assert done.returncode == 0
    for text in (failed, waiting, "fail", "dead_letter", "scheduled", "RuntimeError:", "created (UTC)"):
        assert text in done.stdout
    assert "\x1b" not in done.stdout
    assert [command["id"] for command in document["commands"]] == [waiting, failed]
    assert document["commands"] == [describe(durex_on_each.stored(id_)) for id_ in (waiting, failed)]


def test_a_dead_letter_is_found_replayed_and_counted(durex_on_each, failed):
    assert [c["id"] for c in durex_on_each.json("list", "--state", "dead_letter")["commands"]] == [failed]

    replayed = durex_on_each.json("replay", failed)

    assert (replayed["id"], replayed["state"], replayed["attempt"]) == (failed, "pending", 0)
    assert durex_on_each.json("stats")["states"]["pending"] == 1
    assert [event["event"] for event in durex_on_each.json("show", failed)["history"]][-1] == "retrying"


def ids(durex, *options):
    return [command["id"] for command in durex.json("list", *options)["commands"]]


def test_every_filter_is_taken(durex_here):
    wanted = durex_here.enqueue(
        *("process_order", ORDER, "--tag", "a", "--tag", "b", "--correlation-id", "c", "--unique-key", "u"),
        *("--delay", "60"),
    )
    durex_here.enqueue("hold", "x")

    for options in (
        ["--state", "scheduled"],
        ["--state", "scheduled", "--state", "failed"],
        ["--name", "process_order"],
        ["--queue", "process_order"],
        ["--tag", "a", "--tag", "b"],
        ["--correlation-id", "c"],
        ["--unique-key", "u"],
        ["--payload", "id=42"],
        ["--payload", "amount:=7.0", "--payload", "id=42"],
        ["--created-after", "2026-01-01T00:00:00Z", "--tag", "a"],
    ):
        assert ids(durex_here, *options) == [wanted], options
    for options in (
        ["--parent", UNKNOWN_ID],
        ["--payload", "amount=7"],
        ["--created-before", "2026-01-01T00:00:00+01:00"],
        ["--state", "started"],
    ):
        assert ids(durex_here, *options) == [], options
    assert "no commands were found" in durex_here.run("list", "--state", "started").stdout


def test_a_long_listing_says_how_to_go_on(durex_here):
    stored = sorted((durex_here.enqueue("fail") for _ in range(3)), reverse=True)

    first = durex_here.json("list", "--limit", "2")
    text = durex_here.run("list", "--limit", "2").stdout

    assert f"there are more; go on with --cursor {first['next_cursor']}" in text
    assert ids(durex_here, "--limit", "2", "--cursor", first["next_cursor"]) == stored[2:]
    assert ids(durex_here, "--ascending") == stored[::-1]
    assert ids(durex_here, "--order-by", "finished_at") == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--state", "done"], "'done' is not one of"),
        (["--limit", "0"], "limit: "),
        (["--limit", "501"], "limit: "),
        (["--cursor", "x"], "cursor: "),
        (["--parent", "42"], "parent_id: "),
        (["--name", "no name"], "names[0]: "),
        (["--tag", ""], "tags[0]: "),
        (["--correlation-id", ""], "correlation_id: "),
        (["--payload", "id"], "write PATH=TEXT or PATH:=JSON"),
        (["--payload", "id:=x"], "is not JSON"),
        (["--payload", "a..b=x"], "payload: "),
        (["--payload", "a=1", "--payload", "a=2"], "'a' is given twice"),
        (["--created-after", "yesterday"], "no moment in ISO 8601"),
        (["--created-before", "2026-01-01"], "says no offset"),
        (["--order-by", "name"], "'name' is not one of"),
        (["--order-by", "finished_at", "--state", "pending"], "order_by: "),
    ],
)
def test_a_bad_filter_is_wrong_use(durex_here, options, told):
    listed = durex_here.run("list", *options)
    cancelled = durex_here.run("cancel", *options) if "--limit" not in options else listed

    assert listed.returncode == 2
    assert told in listed.stderr.replace("\n", " ")
    assert cancelled.returncode == 2


def test_a_bad_filter_is_named_in_json(durex_here):
    assert durex_here.json("list", "--limit", "0")["error"]["field"] == "limit"


def test_commands_are_cancelled_by_their_ids(durex_here):
    first, second = durex_here.enqueue("fail"), durex_here.enqueue("fail")

    done = durex_here.run("cancel", first, second, "--reason", "a slip")

    assert done.returncode == 0
    assert f"{first} cancelled\n{second} cancelled\n2 cancelled" in done.stdout
    assert durex_here.stored(first).state is State.CANCELLED
    assert durex_here.stored(second).error.message == "a slip"


def test_of_several_ids_those_that_can_be_are_cancelled_and_the_rest_told(durex_here):
    ended, live = durex_here.enqueue("fail"), durex_here.enqueue("fail")
    durex_here.run("cancel", ended)

    done = durex_here.run("cancel", ended, UNKNOWN_ID, live, "--json")

    assert done.returncode == 1
    assert f"error: command {ended} is cancelled already" in done.stderr
    assert f"error: no command has the id {UNKNOWN_ID}" in done.stderr
    assert durex_here.stored(live).state is State.CANCELLED
    document = durex_here.json("cancel", ended, UNKNOWN_ID)
    assert document["cancelled"] == []
    assert [(error["id"], error["type"]) for error in document["errors"]] == [
        (ended, "NotAllowed"),
        (UNKNOWN_ID, "CommandNotFound"),
    ]


def test_commands_are_cancelled_by_a_tag(durex_here):
    tagged = sorted(durex_here.enqueue("fail", None, "--tag", "a") for _ in range(2))
    other = durex_here.enqueue("fail")

    assert durex_here.json("cancel", "--tag", "a", "--reason", "enough") == {"cancelled": tagged, "errors": []}
    assert durex_here.stored(tagged[0]).error.message == "enough"
    assert durex_here.stored(other).state is State.PENDING
    assert durex_here.run("cancel", "--tag", "a").stdout.endswith("\n0 cancelled\n")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [UNKNOWN_ID, "--tag", "a"],
        ["42"],
        [UNKNOWN_ID, "42"],
        ["--state", "completed"],
        [UNKNOWN_ID, "--reason", ""],
    ],
)
def test_what_cannot_be_meant_is_wrong_use(durex_here, arguments):
    assert durex_here.run("cancel", *arguments).returncode == 2


def test_a_malformed_id_among_others_leaves_them_as_they_are(durex_here):
    live = durex_here.enqueue("fail")

    assert durex_here.run("cancel", live, "42").returncode == 2
    assert durex_here.stored(live).state is State.PENDING


def test_a_command_is_retried(durex_here):
    command_id = durex_here.enqueue("fail", None, "--delay", "3600")

    done = durex_here.run("retry", command_id)

    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"{command_id}  fail  pending")
    durex_here.run("cancel", command_id)
    assert durex_here.json("retry", command_id) == describe(durex_here.stored(command_id))


@pytest.mark.parametrize("command", ["retry", "replay"])
def test_what_is_not_allowed_is_a_failure_and_a_malformed_id_wrong_use(durex_here, command):
    ready = durex_here.enqueue("fail")

    refused = durex_here.run(command, ready, "--json")

    assert refused.returncode == 1
    assert f"error: command {ready} is pending" in refused.stderr
    assert '"type": "NotAllowed"' in refused.stdout
    assert durex_here.run(command, UNKNOWN_ID).returncode == 1
    assert durex_here.run(command, "42").returncode == 2


def test_commands_are_counted_by_queue_and_state(durex_here):
    durex_here.enqueue("fail")
    durex_here.enqueue("hold", "x", "--delay", "60")
    durex_here.run("cancel", durex_here.enqueue("fail"))

    text = durex_here.run("stats").stdout
    document = durex_here.json("stats", "--finished-within", "3600")

    for word in ("queue", "ready", "oldest", "pending", "scheduled", "cancelled", "fail", "slow"):
        assert word in text
    assert "finished commands of the last 24 h\n" in text
    assert [queue["queue"] for queue in document["queues"]] == ["fail", "slow"]
    assert document["finished_within_seconds"] == 3600.0


def test_an_empty_database_has_no_commands(durex_here):
    assert "no commands" in durex_here.run("stats").stdout


@pytest.mark.parametrize("seconds", ["-1", "1e12", "soon"])
def test_a_time_to_look_back_that_cannot_be_is_wrong_use(durex_here, seconds):
    assert durex_here.run("stats", "--finished-within", seconds).returncode == 2


def test_workers_are_told_that_a_queue_has_work(durex_on_postgres):
    with psycopg.connect(durex_on_postgres.url, autocommit=True) as listener:
        listener.execute("LISTEN durex_wake")
        document = durex_on_postgres.json("wake", "slow")
        told = list(listener.notifies(timeout=5, stop_after=1))

    assert (document, len(told)) == ({"queue": "slow"}, 1)


def test_an_unknown_queue_is_wrong_use(durex_here):
    done = durex_here.run("wake", "slwo")

    assert done.returncode == 2
    assert "no command of the application uses the queue 'slwo' (known: fail, process_order, slow)" in done.stderr
