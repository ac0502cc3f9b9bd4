"""A simulated AWS for tests: SQS, EventBridge Scheduler and Lambda on virtual time, with faults.

`SimulatedCloud(app)` deploys an application to it. Everything happens in one thread at a time and in the same order in
every run; see `durex_core.testing.cloud.faults` for what can go wrong.
"""

from durex_core.testing.cloud.cloud import SimulatedCloud
from durex_core.testing.cloud.errors import NoWaker
from durex_core.testing.cloud.faults import Call, Fate, Faults, OneFault, RandomFaults, Way
from durex_core.testing.cloud.storage import Storage

__all__ = ["Call", "Fate", "Faults", "NoWaker", "OneFault", "RandomFaults", "SimulatedCloud", "Storage", "Way"]
