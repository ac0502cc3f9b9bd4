"""AWS clients, one for each service and process."""

import os
import threading
from functools import cache
from typing import Any

_lock = threading.Lock()


def client(service: str) -> Any:
    """Return the process's client of a service; it may be used by many threads, but not made by them."""
    with _lock:
        return _made(service)


@cache
def _made(service: str) -> Any:
    import boto3  # noqa: PLC0415  most processes never need it, and it is slow to import
    from botocore.config import Config  # noqa: PLC0415

    # The defaults wait a minute for a network that is not there; an invocation has no minute to spare. Wakes and alarms
    # are sent before a commit that a client waits for, and stand in for each other.
    is_hasty = service in {"sqs", "scheduler"}
    config = Config(
        connect_timeout=2,
        read_timeout=3 if is_hasty else 5,
        retries={"mode": "standard", "total_max_attempts": 2 if is_hasty else 3},
    )
    return boto3.client(service, region_name=os.environ.get("AWS_REGION"), config=config)
