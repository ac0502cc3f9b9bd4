"""EMF metrics, as CloudWatch reads them from the log: what Powertools writes, parsed and held against the format."""

import json
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from factories import claimed_command, error_info

from durex_core.clock import utc_now
from durex_core.model import State
from durex_core.rules.outcomes import Settlement
from durex_core.telemetry import emf
from durex_core.telemetry.emf import MAX_DURATIONS, OTHER, VALUES_PER_LINE, EmfMetrics

UNITS = {
    "CommandsStarted": "Count",
    "CommandsCompleted": "Count",
    "CommandsFailed": "Count",
    "CommandsRetried": "Count",
    "CommandDuration": "Milliseconds",
    "QueueSize": "Count",
    "OldestReadyAge": "Seconds",
}
COMMAND = claimed_command(name="charge", queue="money")
MINUTE = timedelta(minutes=1)


def completed(queue="money") -> Settlement:
    return Settlement(claimed_command(queue=queue), State.COMPLETED, "completed")


FAILED = Settlement(COMMAND, State.DEAD_LETTER, "failed", error=error_info())
RETRIED = Settlement(COMMAND, State.SCHEDULED, "failed", error=error_info(), delay=MINUTE)
RELEASED = Settlement(COMMAND, State.PENDING, "released", error=error_info(), gives_back=True)


@pytest.fixture
def metrics():
    """Metrics of two queues."""
    return EmfMetrics(["money", "mail"])


@pytest.fixture
def written(capsys):
    """Reads the lines that were written since it was last called."""
    return lambda: [checked(line) for line in capsys.readouterr().out.splitlines()]


def checked(line: str) -> dict:
    """Hold a line against the rules of the format, and return it.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    root = json.loads(line)
    assert set(root["_aws"]) == {"Timestamp", "CloudWatchMetrics"}
    assert isinstance(root["_aws"]["Timestamp"], int)
    assert abs(root["_aws"]["Timestamp"] / 1000 - utc_now().timestamp()) < 60
    (directive,) = root["_aws"]["CloudWatchMetrics"]
    assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
    assert 1 <= len(directive["Namespace"]) <= 1024
    assert directive["Dimensions"] == [["queue"]]
    assert isinstance(root["queue"], str)
    assert 1 <= len(root["queue"]) <= 1024
    assert 1 <= len(directive["Metrics"]) <= 100
    for metric in directive["Metrics"]:
        assert metric == {"Name": metric["Name"], "Unit": UNITS[metric["Name"]]}
        values = root[metric["Name"]]
        assert 1 <= len(values) <= 100
        assert all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    assert set(root) == {"_aws", "queue", *(metric["Name"] for metric in directive["Metrics"])}
    assert len(line) < 1_000_000
    return root


def values(line: dict) -> dict[str, list[float]]:
    return {name: value for name, value in line.items() if name in UNITS}


def test_an_invocation_becomes_one_line_for_each_queue(metrics, written):
    for _ in range(3):
        metrics.started(COMMAND)
    for settlement, seconds in [(completed(), 0.25), (FAILED, 1.5), (RETRIED, 0.0104), (RELEASED, 9)]:
        metrics.settled(settlement, seconds)
    metrics.settled(completed("mail"), 2)
    metrics.queue_measured("money", size=12, oldest_ready_age=MINUTE)

    metrics.flush()

    mail, money = written()
    assert (mail["queue"], values(mail)) == ("mail", {"CommandsCompleted": [1], "CommandDuration": [2000]})
    assert money["queue"] == "money"
    assert values(money) == {
        "CommandsStarted": [3],
        "CommandsCompleted": [1],
        "CommandsFailed": [1],
        "CommandsRetried": [1],
        "CommandDuration": [250, 1500, 10.4],
        "QueueSize": [12],
        "OldestReadyAge": [60],
    }
    assert money["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "durex"


def test_nothing_is_written_when_nothing_happened(metrics, written, caplog):
    metrics.flush()
    metrics.settled(RELEASED, 9)
    metrics.flush()

    assert written() == []
    assert caplog.records == []


def test_what_is_written_is_not_written_again(metrics, written):
    metrics.started(COMMAND)
    metrics.flush()
    assert len(written()) == 1

    metrics.flush()

    assert written() == []


def test_a_queue_without_anything_ready_is_on_time(metrics, written):
    metrics.queue_measured("mail", size=3, oldest_ready_age=MINUTE)
    metrics.queue_measured("mail", size=0)

    metrics.flush()

    assert [values(line) for line in written()] == [{"QueueSize": [0], "OldestReadyAge": [0]}]


@pytest.mark.parametrize(
    ("settled", "lines"),
    [(VALUES_PER_LINE, [100]), (VALUES_PER_LINE + 1, [100, 1]), (250, [100, 100, 50])],
)
def test_a_line_holds_a_hundred_durations_and_no_count_twice(metrics, written, settled, lines):
    metrics.started(COMMAND)
    for number in range(settled):
        metrics.settled(completed(), (number + 1) / 1000)

    metrics.flush()

    seen = written()
    assert [len(line["CommandDuration"]) for line in seen] == lines
    assert [duration for line in seen for duration in line["CommandDuration"]] == list(range(1, settled + 1))
    assert [values(line).keys() for line in seen[1:]] == [{"CommandDuration"}] * (len(lines) - 1)
    assert (seen[0]["CommandsStarted"], seen[0]["CommandsCompleted"]) == ([1], [settled])


def test_a_process_that_never_flushes_holds_no_more_than_so_many_durations(metrics, written):
    for _ in range(MAX_DURATIONS):
        metrics.settled(completed(), 1)

    lines = written()
    assert sum(len(line["CommandDuration"]) for line in lines) == MAX_DURATIONS
    metrics.flush()
    assert written() == []


def test_queues_that_are_not_known_are_one(metrics, written):
    for number in range(50):
        metrics.started(claimed_command(queue=f"queue_{number}"))
        metrics.queue_measured(f"queue_{number}", size=number)

    metrics.flush()

    assert [(line["queue"], values(line)) for line in written()] == [(OTHER, {"CommandsStarted": [50]})]


def test_the_namespace_can_be_chosen(written):
    metrics = EmfMetrics(["money"], namespace="shop")
    metrics.started(COMMAND)
    metrics.flush()

    (line,) = written()
    assert line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "shop"


def test_the_environment_of_powertools_changes_neither_namespace_nor_dimensions(metrics, written, monkeypatch):
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "orders")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "elsewhere")
    metrics.started(COMMAND)
    metrics.flush()

    (line,) = written()
    assert line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "durex"
    assert "service" not in line


def test_powertools_metrics_of_the_application_are_left_alone(metrics, written):
    from aws_lambda_powertools.metrics import Metrics  # noqa: PLC0415

    own = Metrics(namespace="shop", service="orders")
    own.add_metric("Orders", "Count", 1)
    own.add_dimension("shop", "Berlin")
    metrics.started(COMMAND)
    metrics.flush()

    (line,) = written()
    assert set(line) == {"_aws", "queue", "CommandsStarted"}
    assert own.serialize_metric_set()["Orders"] == [1]
    own.clear_metrics()


def test_metrics_that_are_switched_off_are_not_written(metrics, written, monkeypatch):
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
    metrics.started(COMMAND)
    metrics.flush()
    monkeypatch.delenv("POWERTOOLS_METRICS_DISABLED")
    metrics.flush()

    assert written() == []


def test_a_line_is_written_in_one_piece(metrics, monkeypatch):
    pieces = []
    monkeypatch.setattr(sys, "stdout", type("Pieces", (), {"write": pieces.append, "flush": lambda: None}))
    metrics.started(COMMAND)
    metrics.flush()

    (piece,) = pieces
    assert piece.endswith("}\n")


def test_a_log_that_cannot_be_written_ends_nothing(metrics, monkeypatch, caplog):
    def refuse(_text):
        raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", type("Closed", (), {"write": refuse}))
    metrics.started(COMMAND)
    metrics.flush()

    assert "the metrics of this invocation could not be written" in caplog.text


def test_what_happens_while_a_line_is_written_is_in_the_next_one(metrics, written, monkeypatch):
    write = emf._write

    def write_while_a_command_starts(*line):
        monkeypatch.setattr(emf, "_write", write)
        metrics.started(COMMAND)
        write(*line)

    monkeypatch.setattr(emf, "_write", write_while_a_command_starts)
    metrics.started(COMMAND)
    metrics.flush()
    metrics.flush()

    assert [values(line) for line in written()] == [{"CommandsStarted": [1]}] * 2


def test_threads_that_count_while_others_flush_lose_nothing(metrics, written):
    gate = threading.Barrier(6)

    def count():
        gate.wait()
        for _ in range(300):
            metrics.started(COMMAND)
            metrics.settled(completed(), 0.001)

    def flush():
        gate.wait()
        for _ in range(20):
            metrics.flush()

    threads = [threading.Thread(target=work, daemon=True) for work in (count, count, count, count, flush, flush)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    metrics.flush()

    lines = [values(line) for line in written()]
    for name in ("CommandsStarted", "CommandsCompleted"):
        assert sum(sum(line.get(name, [])) for line in lines) == 1200
    assert sum(len(line.get("CommandDuration", [])) for line in lines) == 1200


class Watched:
    """A lock that counts how often it was taken."""

    def __init__(self) -> None:
        """Begin unlocked."""
        self.taken = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()
        self.taken += 1

    def __exit__(self, *_error: object) -> None:
        self._lock.release()


@pytest.mark.parametrize(
    "deed",
    [
        lambda metrics: metrics.started(COMMAND),
        lambda metrics: metrics.settled(completed(), 1),
        lambda metrics: metrics.queue_measured("mail", size=1),
        lambda metrics: metrics.flush(),
    ],
)
def test_whoever_counts_or_takes_does_so_under_the_lock(metrics, deed):
    metrics._lock = Watched()

    deed(metrics)

    assert metrics._lock.taken == 1


def test_powertools_is_loaded_when_there_is_something_to_write():
    code = (
        "import sys; from durex_core.telemetry.emf import EmfMetrics; metrics = EmfMetrics(['mail']); metrics.flush();"
        "print('aws_lambda_powertools' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout == "False\n"


def test_without_powertools_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(emf, "find_spec", lambda _name: None)

    with pytest.raises(ImportError, match=r'pip install "durex-core\[aws\]"'):
        EmfMetrics(["mail"])


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: EmfMetrics("mail"), TypeError, "queues is one text, 'mail': give a list of queues"),
        (lambda: EmfMetrics(["mail"], namespace=" "), ValueError, "the namespace is empty"),
    ],
)
def test_what_cannot_be_is_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()
