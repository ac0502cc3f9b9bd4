"""The parity page: the tests that it names exist, and nothing of the Go library is left out."""

import re
from collections.abc import Iterator
from pathlib import Path

STATE = re.compile(r"done|part:|to come|left out:")
TESTS = Path(__file__).resolve().parents[1]
PAGE = (TESTS.parent / "docs" / "parity.md").read_text()

GO_OPTIONS = [
    "WithBackoff", "WithClaimBatchSize", "WithCleanupAge", "WithCleanupInterval", "WithDashboard",
    "WithDeadLetterQueue", "WithDefaultRepeatInterval", "WithDefaultRetries", "WithDefaultTimeout", "WithErrorHandler",
    "WithGlobalRateLimit", "WithGracefulShutdown", "WithLogger", "WithMaxDelay", "WithMetrics", "WithMiddleware",
    "WithParallelism", "WithPermanentCommands", "WithPollInterval", "WithQueueSize", "WithRateLimit", "WithRateLimiter",
    "WithStuckCommandRecovery", "WithTableName", "SetIDGenerator",
]  # fmt: skip

_TEST = re.compile(r"`([a-z_/]+/test_[a-z_0-9]+\.py)(?:::(test_[a-z_0-9]+))?`")


def features() -> Iterator[tuple[str, str, str]]:
    """Yield every row about a feature: what it is, its state, and what shows it."""
    header = ""
    for line in PAGE.splitlines():
        if not line.startswith("|"):
            header = ""
            continue
        header = header or line
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if header.startswith("| feature |") and line != header and cells[0].strip("-"):
            feature, state, shown_by = cells
            yield feature, state, shown_by


def test_every_test_that_is_named_exists():
    named = _TEST.findall(PAGE)
    assert len(named) > 50
    missing = [
        f"{file}::{name}" if name else file
        for file, name in named
        if not (TESTS / file).is_file() or (name and f"def {name}(" not in (TESTS / file).read_text())
    ]
    assert missing == []


def test_every_row_has_a_state_and_whatever_is_done_names_its_test():
    rows = list(features())
    assert len(rows) > 60
    assert [feature for feature, state, _ in rows if not STATE.match(state)] == []
    assert [row for row in rows if row[1].startswith(("done", "part")) != bool(_TEST.search(row[2]))] == []


def test_every_option_of_the_go_executor_is_told():
    assert [option for option in GO_OPTIONS if not re.search(rf"^\| `{option}`", PAGE, re.MULTILINE)] == []


def test_every_bug_is_looked_at():
    told = re.findall(r"^\| (x\d+) \|", PAGE, re.MULTILINE)
    assert told == [f"x{number}" for number in range(1, 21)]
