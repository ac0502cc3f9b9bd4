"""What the stack costs: idle for a month, and for a million commands; printed by every synth.

List prices without any free tier, so that a bill is below the estimate and never above it for want of one. The two
numbers that nobody knows before measuring, Aurora's I/O and the log volume of a command, are assumptions named below.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from infra.monitoring import alarms
from infra.plan import WAKES_PER_INVOCATION, QueuePlan
from infra.settings import Settings
from infra.sleep import awake_seconds, sweep_seconds

HOURS = 730  # a month, as AWS counts it
MINUTES = HOURS * 60
MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Dollars in us-east-1, gathered in 2026; read them again on AWS's pages before publishing an estimate."""

    acu_hour: float = 0.12  # Aurora Serverless v2, Standard; AWS agent toolkit, table of 2026-03-28
    storage_gb_month: float = 0.10  # the same
    io_million: float = 0.20  # the same
    secret_month: float = 0.40  # Secrets Manager price page
    sqs_million: float = 0.40  # standard queue, 64 KiB chunks; cloudburn.io, March 2026
    lambda_million: float = 0.20  # aws.amazon.com/lambda/pricing, read 2026-09-20
    gb_second_arm64: float = 0.0000133334  # to be read again on its price page
    gb_second_x86_64: float = 0.0000166667  # aws.amazon.com/lambda/pricing, read 2026-09-20
    http_api_million: float = 1.00  # to be read again on its price page
    scheduler_million: float = 1.00  # awsnegotiations.com, May 2026
    log_gb: float = 0.50  # to be read again on its price page
    alarm_month: float = 0.10  # to be read again on its price page
    dashboard_month: float = 3.00  # to be read again on its price page


PRICES = Prices()

_TICK_SECONDS = 0.1
_SWEEP_SECONDS = 20  # nearly all of it spent waiting for the database to resume
_IDLE_GB = 1
_RECEIVES_PER_MINUTE = 15  # five pollers that wait 20 s each; a mapping with a maximum does not shrink to two
_BATCH_SECONDS = 0.2
_ENQUEUE_SECONDS = 0.02
_WORKED_ACU_HOURS = 2  # a burst: two ACU for one hour
_IO_PER_COMMAND = 4
_GB_PER_MILLION = 2
_LOG_GB_PER_MILLION = 0.9  # the workers' 0.5 and the access log's 0.4


@dataclass(frozen=True, slots=True)
class Line:
    """One item of a bill."""

    item: str
    dollars: float


def report(settings: Settings, plans: tuple[QueuePlan, ...]) -> str:
    """Return both estimates as text."""
    idle, million = list(idle_month(settings, plans)), list(million_commands(settings, plans))
    return "\n".join(
        [
            f"\n{settings.stack_name}: estimated cost (us-east-1, list prices, no free tier)",
            *_table(f"idle, a month ({_counted(plans)})", idle),
            *_table("a million commands, each enqueued alone", million),
            *(f"  {line}" for line in _note(settings, plans)),
            "\n",
        ]
    )


def awake_dollars(settings: Settings) -> float:
    """Return what a database costs in a month that is awake and has nothing to do."""
    return _capacity(settings) * PRICES.acu_hour * HOURS


def idle_month(settings: Settings, plans: tuple[QueuePlan, ...]) -> Iterator[Line]:
    """Yield what a month costs in which nothing happens."""
    yield _idle_database(settings)
    yield Line("database storage and the master's secret", _IDLE_GB * PRICES.storage_gb_month + PRICES.secret_month)
    yield _idle_tick(settings)
    mappings = len(plans) + 1
    polls = mappings * MINUTES * _RECEIVES_PER_MINUTE
    yield Line("polling the wake queues and the ingest queue", polls * PRICES.sqs_million / MILLION)
    yield Line("CloudWatch alarms", alarms(settings, len(plans)) * PRICES.alarm_month)
    yield Line("dashboard", PRICES.dashboard_month)


def million_commands(settings: Settings, plans: tuple[QueuePlan, ...]) -> Iterator[Line]:
    """Yield what a million commands cost that do next to nothing, spread over the queues alike."""
    batch = WAKES_PER_INVOCATION
    memory = sum(plan.memory_megabytes for plan in plans) / len(plans)
    batches = MILLION / batch
    requests = PRICES.http_api_million + PRICES.lambda_million
    yield Line("API and enqueue function", requests + MILLION * _compute(settings, _ENQUEUE_SECONDS, memory))
    yield Line("wakes: sent one by one, received and deleted in batches", (1 + 2 / batch) * PRICES.sqs_million)
    yield Line(
        "workers", batches / MILLION * PRICES.lambda_million + batches * _compute(settings, _BATCH_SECONDS, memory)
    )
    yield Line(
        f"database: {_WORKED_ACU_HOURS} ACU hours, {_IO_PER_COMMAND} I/O a command, {_GB_PER_MILLION} GB",
        _WORKED_ACU_HOURS * PRICES.acu_hour
        + _IO_PER_COMMAND * PRICES.io_million
        + _GB_PER_MILLION * PRICES.storage_gb_month,
    )
    yield Line("logs", _LOG_GB_PER_MILLION * PRICES.log_gb)


def _idle_database(settings: Settings) -> Line:
    awake, until_next = awake_seconds(settings), sweep_seconds(settings)
    if not settings.sleeping:
        return Line(f"database, kept awake by the tick ({_capacity(settings):g} ACU)", awake_dollars(settings))
    return Line(
        f"database, awake for {awake / 60:.0f} minutes of every {_hours(settings)} ({_capacity(settings):g} ACU)",
        awake_dollars(settings) * awake / until_next,
    )


def _idle_tick(settings: Settings) -> Line:
    ticks, seconds = MINUTES, _TICK_SECONDS
    if settings.sleeping:
        ticks, seconds = HOURS // settings.sweep_hours, _SWEEP_SECONDS
    each = (PRICES.scheduler_million + PRICES.lambda_million) / MILLION
    each += _compute(settings, seconds, settings.memory_megabytes)
    return Line(f"tick, {f'every {_hours(settings)}' if settings.sleeping else 'each minute'}", ticks * each)


def _note(settings: Settings, plans: tuple[QueuePlan, ...]) -> Iterator[str]:
    """Say what a database that sleeps costs when it cannot, or what one that does not would save."""
    awake = f"${awake_dollars(settings):,.2f}"
    if settings.sleeping:
        yield "note: the database sleeps while nothing is due; work around the clock keeps it awake,"
        yield f"which costs {awake} a month or more."
        return
    asleep = idle_month(replace(settings, sleeping=True, min_capacity=0), plans)
    change = "sleeping=true" + (" and min_capacity=0" if settings.min_capacity else "")
    yield f"note: sleeping=false: the tick of each minute keeps the database awake, {awake} of the month;"
    yield f"with {change} the deployment would cost ${sum(line.dollars for line in asleep):,.2f} at rest."


def _capacity(settings: Settings) -> float:
    """Return the capacity in ACU of a database that is awake and has nothing to do."""
    return max(settings.min_capacity, 0.5)


def _hours(settings: Settings) -> str:
    return "hour" if settings.sweep_hours == 1 else f"{settings.sweep_hours} hours"


def _compute(settings: Settings, seconds: float, megabytes: float) -> float:
    price = PRICES.gb_second_arm64 if settings.machine == "arm64" else PRICES.gb_second_x86_64
    return seconds * megabytes / 1024 * price


def _table(title: str, lines: list[Line]) -> Iterator[str]:
    yield f"  {title}"
    for line in lines:
        yield f"    {line.dollars:>8,.2f}  {line.item}"
    yield f"    {sum(line.dollars for line in lines):>8,.2f}  dollars in all"


def _counted(plans: tuple[QueuePlan, ...]) -> str:
    return "1 queue" if len(plans) == 1 else f"{len(plans)} queues"
