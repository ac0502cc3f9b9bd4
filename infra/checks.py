"""What synth refuses: a stack that AWS would take and that would then fail under load or after a crash.

Each check is pure and yields sentences with the sum and the fix; `refuse` raises them all at once.
"""

from collections.abc import Iterator

from infra import connections
from infra.manifest import Manifest
from infra.plan import VISIBILITY_FACTOR, QueuePlan, plan_queues
from infra.refusal import SynthRefused
from infra.settings import Settings
from infra.sleep import IDLE_SESSION_SECONDS, TICK_SECONDS, awake_seconds, sweep_seconds

LAMBDA_SECONDS = 900
ENVIRONMENT_BYTES = 4096
OTHER_VARIABLES_BYTES = 900  # what a function's environment holds beside the wake URLs and the alarms, generously
ALARMS_BYTES = 350
_QUEUE_NAME_LENGTH = 80


def refuse(settings: Settings, manifest: Manifest) -> None:
    """Stop a synth whose stack would be wrong.

    Raises:
        SynthRefused: with every reason found.
    """
    found = tuple(reasons(settings, manifest))
    if found:
        raise SynthRefused(*found)


def reasons(settings: Settings, manifest: Manifest) -> Iterator[str]:
    """Yield why this stack must not be deployed."""
    plans = plan_queues(settings, manifest)
    yield from handlers(settings, manifest)
    yield from package(settings, manifest)
    for plan in plans:
        yield from timeout(settings, plan)
        yield from visibility(plan)
        yield from lease(settings, plan)
        yield from concurrency(plan)
    yield from sleep(settings)
    yield from rest(settings, manifest)
    yield from connection_budget(settings, plans)
    yield from wake_urls(settings, plans)


def handlers(settings: Settings, manifest: Manifest) -> Iterator[str]:
    """Every queue needs a command that runs from it, and every command and setting a queue."""
    if not manifest.commands:
        yield f"{manifest.app} registers no command; add one with @app.command(…)"
    queue_of = {command.name: command.queue for command in manifest.commands}
    for queue in manifest.queues:
        if not any(queue_of.get(name) == queue.name for name in queue.commands):
            yield (
                f"queue {queue.name!r} has no handler: no command runs from it;"
                f" give a command queue={queue.name!r}, or remove the queue"
            )
    names = {queue.name for queue in manifest.queues}
    for command in manifest.commands:
        if command.queue not in names:
            yield f"command {command.name!r} runs from the queue {command.queue!r}, which the manifest does not list"
    for name in sorted(set(settings.queues) - names):
        yield (
            f"setting queues.{name} is for a queue without a handler: no command runs from {name!r};"
            f" the queues are {', '.join(sorted(names)) or 'none'}"
        )


def package(settings: Settings, manifest: Manifest) -> Iterator[str]:
    """The functions' zip must hold the application."""
    packages = {folder.rstrip("/").rsplit("/", 1)[-1] for folder in settings.source} | {"functions"}
    if manifest.package not in packages:
        yield (
            f"the functions' zip would lack the application {manifest.app}:"
            f" add its package to the setting source={','.join((*settings.source, manifest.package))}"
        )


def timeout(settings: Settings, plan: QueuePlan) -> Iterator[str]:
    """A command must fit into one invocation."""
    if plan.timeout_seconds > LAMBDA_SECONDS:
        longest = LAMBDA_SECONDS - settings.timeout_margin_seconds
        yield (
            f"timeout of queue {plan.name!r}: {plan.command_seconds:g} s + {settings.timeout_margin_seconds} s margin ="
            f" {plan.timeout_seconds} s > {LAMBDA_SECONDS} s, the longest that Lambda runs;"
            f" set the timeout of {', '.join(plan.commands)} to at most {longest} s, or split it into commands"
        )


def visibility(plan: QueuePlan) -> Iterator[str]:
    """A wake must stay hidden while Lambda may still be at it, or the queue runs everything twice."""
    least = VISIBILITY_FACTOR * plan.timeout_seconds + plan.batching_window_seconds
    if plan.visibility_seconds < least:
        window = f" + {plan.batching_window_seconds} s window" if plan.batching_window_seconds else ""
        yield (
            f"visibility of queue {plan.name!r}: {plan.visibility_seconds} s <"
            f" {VISIBILITY_FACTOR} x {plan.timeout_seconds} s function timeout{window} = {least} s;"
            f" raise queues.{plan.name}.visibility_seconds to {least}, or leave it out"
        )


def lease(settings: Settings, plan: QueuePlan) -> Iterator[str]:
    """A wake that comes back after a crash must find the lease over, or it finds nothing to do."""
    if plan.lease_seconds >= plan.visibility_seconds:
        yield (
            f"lease of queue {plan.name!r}: {plan.timeout_seconds} s function timeout +"
            f" {settings.lease_margin_seconds} s margin = {plan.lease_seconds} s >="
            f" {plan.visibility_seconds} s visibility; raise queues.{plan.name}.visibility_seconds above"
            f" {plan.lease_seconds}, or lower lease_margin_seconds"
        )


def concurrency(plan: QueuePlan) -> Iterator[str]:
    """What is reserved must carry the mapping, or throttled wakes wander to the dead letter queue."""
    if plan.reserved_concurrency is not None and plan.reserved_concurrency < plan.max_concurrency:
        yield (
            f"concurrency of queue {plan.name!r}: {plan.reserved_concurrency} reserved <"
            f" {plan.max_concurrency} that its mapping may start;"
            f" raise queues.{plan.name}.reserved_concurrency to {plan.max_concurrency}, or lower max_concurrency"
        )


def sleep(settings: Settings) -> Iterator[str]:
    """A database that is said to sleep must be able to: at no capacity, and for longer than between two sweeps."""
    if not settings.sleeping:
        return
    if settings.min_capacity > 0:
        yield (
            f"sleeping: min_capacity {settings.min_capacity:g} keeps the database awake; set min_capacity=0,"
            " or sleeping=false, which then costs nothing more"
        )
    awake, until_next = awake_seconds(settings), sweep_seconds(settings)
    if awake >= until_next:
        yield (
            f"sleeping: each sweep keeps the database awake for {TICK_SECONDS} s tick + {IDLE_SESSION_SECONDS} s idle"
            f" connection + {settings.auto_pause_seconds:,} s auto_pause_seconds = {awake:,} s >= {until_next:,} s,"
            " when the next one comes; lower auto_pause_seconds, or raise sweep_hours"
        )


def rest(settings: Settings, manifest: Manifest) -> Iterator[str]:
    """A command that is always there must leave the database time to pause between its runs."""
    until_pause = IDLE_SESSION_SECONDS + settings.auto_pause_seconds
    for command in manifest.commands if settings.sleeping else ():
        if command.permanent and command.period_seconds is not None and command.period_seconds <= until_pause:
            yield (
                f"sleeping: the permanent command {command.name!r} runs every {command.period_seconds:g} s, and the"
                f" database pauses {IDLE_SESSION_SECONDS} s idle connection + {settings.auto_pause_seconds} s"
                f" auto_pause_seconds = {until_pause} s after each run; raise its period above {until_pause} s,"
                " or set sleeping=false"
            )


def connection_budget(settings: Settings, plans: tuple[QueuePlan, ...]) -> Iterator[str]:
    """Every environment holds a connection: past max_connections Postgres refuses them all, people included."""
    shares = connections.shares(settings, plans)
    total = sum(share.connections for share in shares)
    limit = connections.max_connections(settings.min_capacity, settings.max_capacity)
    if total <= connections.allowed(limit):
        return
    largest = max(shares, key=lambda share: share.connections)
    larger = connections.capacity_for(total, settings)
    yield (
        f"connections: {' + '.join(map(str, shares))} = {total:,} > {connections.allowed(limit):,}"
        f" ({connections.SHARE_PERCENT} % of {limit:,} at {settings.max_capacity:g} ACU);"
        f" {largest.fix}{f', or {larger}' if larger else ''}"
    )


def wake_urls(settings: Settings, plans: tuple[QueuePlan, ...]) -> Iterator[str]:
    """Every function knows every wake queue, and Lambda's environment is small."""
    size = sum(len(plan.name) + len('"":"",') + _url_length(settings, plan) for plan in plans)
    most = ENVIRONMENT_BYTES - OTHER_VARIABLES_BYTES - (ALARMS_BYTES if settings.sleeping else 0)
    if size > most:
        yield (
            f"wake queues: the URLs of {len(plans)} queues take {size:,} bytes of a function's environment,"
            f" which has room for {most:,}; let commands share a queue with @app.command(…, queue=…)"
        )


def _url_length(settings: Settings, plan: QueuePlan) -> int:
    """Return the length that a queue's URL has at most; CloudFormation names it stack-logical id-random."""
    host = len("https://sqs.ap-northeast-1.amazonaws.com/123456789012/")
    logical_id = len(f"Queues{plan.identifier}Wake") + 8
    return host + min(_QUEUE_NAME_LENGTH, len(settings.stack_name) + 1 + logical_id + 1 + 12)
