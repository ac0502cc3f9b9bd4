"""Each story with each single call and each single message failing in turn: no command is ever left without a waker.

The same with any two faults of a kind that no wake gets lost by. The slow sweep is off: what ends here does so without.
"""

from collections.abc import Sequence
from concurrent.futures import Executor

import pytest
from wakes.cases import Described, double_faults, failures, single_faults
from wakes.stories import STORIES

PARTS = 2


@pytest.mark.parametrize("name", STORIES)
def test_no_single_fault_leaves_a_command_without_a_waker(name: str, processes: Executor):
    assert_borne(processes, name, single_faults(STORIES[name]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one", "in 30 s"])
def test_no_two_faults_leave_a_command_without_a_waker(name: str, processes: Executor):
    assert_borne(processes, name, double_faults(STORIES[name]))


def assert_borne(processes: Executor, name: str, faults: Sequence[Described]) -> None:
    """Assert that a story comes to a good end with each of these faults."""
    futures = [processes.submit(failures, name, faults[part::PARTS]) for part in range(PARTS)]
    failed = [failure for future in futures for failure in future.result()]

    assert not failed, f"{len(failed)} of {len(faults)} faults are not borne; the first: {failed[0]}"
