"""What an attempt may report to the store, in time or as a zombie. Each report says whether the store took it."""

from factories import compensation, error_info, new_command
from virtual_store import VirtualStore

from durex_core.model import Command
from durex_core.rules.endings import hook_failed
from durex_core.rules.lifecycle import decide
from durex_core.rules.outcomes import Cancelled, Expired, Failed, HandlerMissing, Released, Repeated, Returned


def success(store: VirtualStore, attempt: Command) -> bool:
    return store.settle(attempt, Returned("reported"))


def success_with_children(store: VirtualStore, attempt: Command) -> bool:
    children = (new_command(), new_command(idempotency_key="child", unique_key="child"))
    return store.settle(attempt, Returned("reported", children))


def repetition(store: VirtualStore, attempt: Command) -> bool:
    return store.settle(attempt, Repeated("reported", payload="reported"))


def failure(store: VirtualStore, attempt: Command) -> bool:
    return store.settle(attempt, Failed(error_info()))


def failure_for_good(store: VirtualStore, attempt: Command) -> bool:
    return store.settle(attempt, Failed(error_info(), retryable=False))


def timeout(store: VirtualStore, attempt: Command) -> bool:
    return store.settle(attempt, Failed(error_info(type="TimedOut"), how="timed_out"))


def expiry(store: VirtualStore, attempt: Command) -> bool:
    return store.settle(attempt, Expired())


def cancellation(store: VirtualStore, attempt: Command) -> bool:
    return store.settle(attempt, Cancelled("not wanted"))


def release(store: VirtualStore, attempt: Command) -> bool:
    return store.settle(attempt, Released("the worker stopped"))


def missing_handler(store: VirtualStore, attempt: Command) -> bool:
    return store.settle(attempt, HandlerMissing())


def failure_of_the_hook(store: VirtualStore, attempt: Command) -> bool:
    ended = decide(attempt, Failed(error_info(), retryable=False), 0.5)
    return store.write(hook_failed(ended, error_info(type="HookError"), retryable=True))


def heartbeat(store: VirtualStore, attempt: Command) -> bool:
    return store.heartbeat(attempt)


def note(store: VirtualStore, attempt: Command) -> bool:
    return store.note(attempt, {"done": 0.5}, compensation())


REPORTS = [
    success,
    success_with_children,
    repetition,
    failure,
    failure_for_good,
    timeout,
    expiry,
    cancellation,
    release,
    missing_handler,
    failure_of_the_hook,
    heartbeat,
    note,
]
