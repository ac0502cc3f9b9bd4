from datetime import UTC, datetime, timedelta

import pytest

from durex_core.model import State

ORDER = '{"id": "42", "amount": 999}'


def test_a_command_is_stored_and_its_id_printed(durex_on_each):
    done = durex_on_each.run("enqueue", "process_order", ORDER)
    command_id, word = done.stdout.splitlines()[-1].split()
    command = durex_on_each.stored(command_id)
    assert (done.returncode, word) == (0, "created")
    assert (command.name, command.state, command.payload) == (
        "process_order",
        State.PENDING,
        {"id": "42", "amount": 999},
    )


def test_with_json_the_answer_stands_alone_on_stdout_though_the_application_prints(durex):
    done = durex.run("enqueue", "process_order", ORDER, "--json")
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    assert "the shop was imported" in done.stderr
    assert durex.stored(durex.enqueue("process_order", {"id": "1", "amount": 2})).payload == {"id": "1", "amount": 2}


def test_every_option_reaches_the_command(durex_on_each):
    options = [
        "--delay",
        "60.5",
        "--priority",
        "-7",
        "--retries",
        "4",
        "--timeout",
        "1.5",
        "--deadline",
        "90",
        "--start-within",
        "30",
        "--sequence",
        "process_order",
        "--sequence",
        "fail",
        "--tag",
        "red",
        "--tag",
        "b",
    ]
    keys = ["--correlation-id", "c-1", "--unique-key", "u-1", "--idempotency-key", "i-1"]
    command = durex_on_each.stored(durex_on_each.enqueue("fail", None, *options, *keys))
    assert command.state is State.SCHEDULED
    assert timedelta(seconds=60) < command.ready_at - command.created_at < timedelta(seconds=61)
    assert (command.priority, command.retries, command.timeout) == (-7, 4, timedelta(seconds=1.5))
    assert command.deadline_at - command.ready_at == timedelta(seconds=90)
    assert command.expires_at - command.ready_at == timedelta(seconds=30)
    assert command.sequence == ("process_order", "fail")
    assert command.tags == ("red", "b")
    assert (command.correlation_id, command.unique_key, command.idempotency_key) == ("c-1", "u-1", "i-1")


def test_a_moment_to_run_at_reaches_the_command(durex):
    enqueued = durex.enqueue("fail", None, "--run-at", "2199-01-31T12:00+01:00")
    assert durex.stored(enqueued).ready_at == datetime(2199, 1, 31, 11, tzinfo=UTC)
    assert "says no offset; add Z for UTC" in durex.run("enqueue", "fail", "--run-at", "2199-01-31T12:00").stderr


def test_options_that_are_left_out_take_the_handlers_defaults(durex):
    assert durex.stored(durex.enqueue("process_order", {"id": "1", "amount": 2})).retries == 1


def test_a_payload_is_read_from_stdin(durex):
    enqueued = durex.json("enqueue", "process_order", "-", text=ORDER)
    assert durex.stored(enqueued["id"]).payload == {"id": "42", "amount": 999}


def test_a_command_without_payload_needs_none(durex):
    assert durex.stored(durex.json("enqueue", "fail")["id"]).payload is None


def test_a_second_one_with_the_same_key_is_said_to_exist(durex_on_each):
    first = durex_on_each.json("enqueue", "fail", "--idempotency-key", "k")
    again = durex_on_each.json("enqueue", "fail", "--idempotency-key", "k")
    said = durex_on_each.run("enqueue", "fail", "--idempotency-key", "k").stdout
    assert again == {"id": first["id"], "created": False}
    assert f"{first['id']} exists already" in said


@pytest.mark.parametrize(
    ("arguments", "field", "reason"),
    [
        (["nonsense"], "name", "no command named 'nonsense' is registered (known: fail, hold, process_order)"),
        (["process_order", "{"], "payload", "is not JSON"),
        (["process_order", "NaN"], "payload", "NaN is not a JSON value"),
        (["process_order", '{"id": 1, "id": 2}'], "payload", "'id' stands twice"),
        (["process_order", '{"id": "42"}'], "payload.amount", "Field required"),
        (["process_order", "[" * 100_000], "payload", "is not JSON"),
        (["fail", "5"], "payload", "takes no payload"),
        (["fail", "--delay", "-1"], "delay", "greater than or equal to 0"),
        (["fail", "--priority", "99999"], "priority", "less than or equal to 32767"),
        (["fail", "--tag", ""], "tags[0]", "at least 1 character"),
    ],
)
def test_a_bad_spec_is_wrong_use_and_names_the_field(durex_here, arguments, field, reason):
    done = durex_here.run("enqueue", *arguments, "--json")
    assert done.returncode == 2
    assert f"error: {field}: " in done.stderr
    assert reason in done.stderr
    assert f'"field": "{field}"' in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [[], ["fail", "--retries", "many"], ["fail", "--delay", "nan"], ["fail", "--timeout", "1e999"], ["fail", "--what"]],
)
def test_arguments_that_cannot_be_read_are_wrong_use(durex_here, arguments):
    done = durex_here.run("enqueue", *arguments)
    said = durex_here.run("enqueue", *arguments, "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert said.stdout.startswith('{"error": ')


def test_a_payload_that_is_not_utf_8_is_wrong_use(durex):
    done = durex.run("enqueue", "fail", "-", text="\udcff")
    assert done.returncode == 2
    assert "error: payload: is not UTF-8" in done.stderr


def test_a_database_out_of_reach_is_a_failure_of_one_line(durex):
    done = durex.run("enqueue", "fail", "--json", "--database", "postgresql://someone:secret@127.0.0.1:1/none")
    (line,) = [line for line in done.stderr.splitlines() if "error:" in line]
    assert done.returncode == 1
    assert "cannot connect" in line
    assert "secret" not in done.stderr + done.stdout
    assert '"type": "DatabaseUnavailable"' in done.stdout


def test_the_database_option_is_stronger_than_the_environment(durex, tmp_path):
    enqueued = durex.json("enqueue", "fail", "--database", f"sqlite:///{tmp_path}/other.db")
    assert durex.run("show", enqueued["id"]).returncode == 1
    assert durex.run("show", enqueued["id"], DUREX_DATABASE_URL=f"sqlite:///{tmp_path}/other.db").returncode == 0
