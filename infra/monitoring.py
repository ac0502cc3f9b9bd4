"""What a person looks at, and what wakes them: one dashboard and the first alarms.

The age of the oldest wake, which SQS measures, says whether a queue keeps up. What becomes of its commands the
functions write to their logs (EMF), in the stack's own namespace and with `queue` as the only dimension, since every
other would be a paid metric of its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_rds as rds
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.connections import max_connections
from infra.queues import Bell, Ingest
from infra.settings import Settings

CONNECTIONS_ALARM = 0.8
_ALARMS_PER_QUEUE = 3
_ALARMS = 7
_ALARMS_OF_A_SLEEPER = 2

_MINUTE = Duration.minutes(1)
_FIVE_MINUTES = Duration.minutes(5)
_HOUR = Duration.hours(1)
_DAY = 24  # in hours; CloudWatch looks no further back
_WAITING_SECONDS = 600  # SQS leaves what it delivered more than three times out of its oldest, and that is soon after
_WIDTH = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What there is to watch."""

    bells: Mapping[str, Bell]
    workers: Mapping[str, lambda_.Function]
    ingest: Ingest
    drain: lambda_.Function
    tick: lambda_.Function
    http: apigateway.HttpApi
    cluster: rds.DatabaseCluster


def alarms(settings: Settings, queues: int) -> int:
    """Return how many alarms a stack has, each of which costs something."""
    return _ALARMS + _ALARMS_PER_QUEUE * queues + (_ALARMS_OF_A_SLEEPER if settings.sleeping else 0)


class Monitoring(Construct):
    """The dashboard and the alarms."""

    def __init__(self, scope: Construct, id_: str, *, settings: Settings, watched: Watched) -> None:
        """Draw the dashboard and set the alarms."""
        super().__init__(scope, id_)
        self._action = _action(self, settings)
        self.dashboard = cloudwatch.Dashboard(self, "Dashboard", default_interval=Duration.hours(3))
        self.dashboard.add_widgets(*_overview(watched))
        self.dashboard.add_widgets(*_ingest(watched))
        for name in watched.bells:
            self.dashboard.add_widgets(*_queue(name, watched))
            self.dashboard.add_widgets(*_commands(name, settings.stack_name))
        self._alarm_on_queues(watched)
        self._alarm_on_ingest(watched)
        self._alarm_on_the_rest(settings, watched)
        if settings.sleeping:
            self._alarm_on_sleep(watched)

    def _alarm_on_queues(self, watched: Watched) -> None:
        for name, bell in watched.bells.items():
            worker = watched.workers[name]
            queue = f"Queue{bell.plan.identifier}"  # a queue may be called tick, or api
            self._alarm(
                f"{queue}DeadLetters",
                bell.dead_letters.metric_approximate_number_of_messages_visible(period=_MINUTE, statistic="Maximum"),
                f"Messages that no worker of queue {name} could read: look at them in its dead letter queue.",
            )
            self._alarm(
                f"{queue}Errors",
                worker.metric_errors(period=_FIVE_MINUTES),
                f"The worker of queue {name} failed as a whole, which no handler's failure does: read its log.",
            )
            self._alarm(f"{queue}Recursion", _recursion(worker), _cut(f"the worker of queue {name}"))

    def _alarm_on_ingest(self, watched: Watched) -> None:
        letters, queue = watched.ingest.dead_letters, watched.ingest.queue
        self._alarm(
            "IngestDeadLetters",
            letters.metric_approximate_number_of_messages_visible(period=_MINUTE, statistic="Maximum"),
            "Commands that were accepted while the database was away could not be stored: look at them in the dead"
            " letter queue of ingest, and enqueue them again.",
        )
        self._alarm(
            "IngestAge",
            queue.metric_approximate_age_of_oldest_message(period=_MINUTE, statistic="Maximum"),
            f"Commands that were accepted while the database was away wait for more than {_WAITING_SECONDS // 60}"
            " minutes: see whether the database answers, and read the drain's log.",
            threshold=_WAITING_SECONDS,
        )
        self._alarm(
            "DrainErrors",
            watched.drain.metric_errors(period=_FIVE_MINUTES),
            "The drain failed as a whole, which no database that is away does: read its log.",
        )

    def _alarm_on_sleep(self, watched: Watched) -> None:
        """Set the alarms of a deployment that sleeps: what may keep it awake, and what may fail to wake it."""
        self._alarm(
            "TickDropped",
            watched.tick.metric("AsyncEventsDropped", period=_FIVE_MINUTES, statistic="Sum"),
            "A tick failed three times and was given up: what is due may wait for the next sweep. Once its log shows"
            " what failed and that is mended, invoke the tick by hand.",
        )
        self._alarm(
            "DatabaseNeverPauses",
            watched.cluster.metric_serverless_database_capacity(period=_HOUR, statistic="Minimum"),
            "The database has not paused for a day. Where there is work around the clock, set sleeping=false, which"
            " takes this alarm away; otherwise something keeps a connection open: look at pg_stat_activity.",
            threshold=0,
            operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            periods=_DAY,
        )

    def _alarm_on_the_rest(self, settings: Settings, watched: Watched) -> None:
        limit = max_connections(settings.min_capacity, settings.max_capacity)
        self._alarm("TickRecursion", _recursion(watched.tick), _cut("the tick"))
        self._alarm(
            "TickErrors",
            watched.tick.metric_errors(period=_FIVE_MINUTES),
            _failed_tick(settings),
        )
        self._alarm(
            "ApiErrors",
            watched.http.metric_server_error(period=_FIVE_MINUTES, statistic="Sum"),
            "The API answered 5xx: read the access log, then the logs of the enqueue and api functions.",
        )
        self._alarm(
            "DatabaseConnections",
            watched.cluster.metric_database_connections(period=_MINUTE, statistic="Maximum"),
            f"More than {CONNECTIONS_ALARM:.0%} of {limit:,} connections are open: lower max_concurrency or raise"
            " max_capacity before Postgres refuses the next.",
            threshold=int(limit * CONNECTIONS_ALARM),
            operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
        )

    def _alarm(
        self,
        id_: str,
        metric: cloudwatch.IMetric,
        description: str,
        *,
        threshold: int = 1,
        operator: cloudwatch.ComparisonOperator = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        periods: int = 1,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            id_,
            metric=metric,
            alarm_description=description,
            threshold=threshold,
            comparison_operator=operator,
            evaluation_periods=periods,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,  # an idle stack reports nothing
        )
        if self._action:
            alarm.add_alarm_action(self._action)


def _action(scope: Construct, settings: Settings) -> cloudwatch.IAlarmAction | None:
    if settings.alarm_topic is None:
        return None
    return actions.SnsAction(sns.Topic.from_topic_arn(scope, "Topic", settings.alarm_topic))


def _failed_tick(settings: Settings) -> str:
    follows = "it is tried twice more, and then" if settings.sleeping else "until one succeeds,"
    return f"The tick failed; {follows} commands that are due later and those of crashed workers wait. Read its log."


def _recursion(function: lambda_.Function) -> cloudwatch.Metric:
    return function.metric("RecursiveInvocationsDropped", period=_FIVE_MINUTES, statistic="Sum")


def _cut(who: str) -> str:
    return f"Lambda took a chain of commands for a loop and cut it: set RecursiveLoop of {who} back to Allow."


def _overview(watched: Watched) -> Iterator[cloudwatch.IWidget]:
    """The first row: whether clients are served and what the database does."""
    http, cluster = watched.http, watched.cluster
    yield _graph("API requests, 5xx", [http.metric_count(period=_MINUTE), http.metric_server_error(period=_MINUTE)])
    yield _graph("API latency", [http.metric_latency(period=_MINUTE, statistic=s) for s in ("p50", "p99")])
    yield _graph(
        "Database: capacity (ACU), connections",
        [cluster.metric_serverless_database_capacity(period=_MINUTE)],
        right=[cluster.metric_database_connections(period=_MINUTE, statistic="Maximum")],
    )
    yield _graph(
        "Dead letters",
        [
            queue.metric_approximate_number_of_messages_visible(period=_MINUTE, label=label)
            for label, queue in _dead_letters(watched)
        ],
    )


def _dead_letters(watched: Watched) -> Iterator[tuple[str, sqs.Queue]]:
    for name, bell in watched.bells.items():
        yield name, bell.dead_letters
    yield "(ingest)", watched.ingest.dead_letters  # no queue of commands is called so


def _ingest(watched: Watched) -> Iterator[cloudwatch.IWidget]:
    """The second row: what was enqueued while the database was away, and the tick, which finds what nobody told of."""
    queue, drain, tick = watched.ingest.queue, watched.drain, watched.tick
    yield _graph(
        "Ingest: commands waiting, age of the oldest",
        [queue.metric_approximate_number_of_messages_visible(period=_MINUTE)],
        right=[queue.metric_approximate_age_of_oldest_message(period=_MINUTE)],
    )
    for name, function in (("Drain", drain), ("Tick", tick)):
        yield _graph(f"{name}: invocations, errors, throttles", *_runs(function))


def _queue(name: str, watched: Watched) -> Iterator[cloudwatch.IWidget]:
    """A queue's row: does it keep up, is it rung, does its worker work, how long does that take."""
    worker = watched.workers[name]
    bell = watched.bells[name].wake
    age = bell.metric_approximate_age_of_oldest_message(period=_MINUTE)
    wakes = bell.metric_approximate_number_of_messages_visible(period=_MINUTE)
    yield _graph(f"{name}: age of the oldest wake", [age])
    yield _graph(f"{name}: wakes waiting", [wakes])
    yield _graph(f"{name}: invocations, errors, throttles", *_runs(worker))
    yield _graph(f"{name}: duration", [worker.metric_duration(period=_MINUTE, statistic=s) for s in ("p50", "p99")])


def _runs(function: lambda_.Function) -> tuple[list[cloudwatch.IMetric], list[cloudwatch.IMetric]]:
    """Return how often a function runs, and how often it does so in vain or would but may not."""
    return (
        [function.metric_invocations(period=_MINUTE)],
        [function.metric_errors(period=_MINUTE), function.metric_throttles(period=_MINUTE)],
    )


def _commands(queue: str, namespace: str) -> Iterator[cloudwatch.IWidget]:
    """A queue's second row, of what its functions report: what becomes of its commands, how long they take and wait."""

    def metric(name: str, statistic: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=namespace,
            metric_name=name,
            dimensions_map={"queue": queue},
            period=_MINUTE,
            statistic=statistic,
        )

    ends = ("CommandsStarted", "CommandsCompleted", "CommandsFailed", "CommandsRetried")
    yield _graph(f"{queue}: commands", [metric(name, "Sum") for name in ends])
    yield _graph(f"{queue}: handler duration", [metric("CommandDuration", statistic) for statistic in ("p50", "p99")])
    yield _graph(
        f"{queue}: waiting commands, age of the oldest",
        [metric("QueueSize", "Maximum")],
        right=[metric("OldestReadyAge", "Maximum")],
    )


def _graph(
    title: str, left: list[cloudwatch.IMetric], right: list[cloudwatch.IMetric] | None = None
) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=left, right=right, width=_WIDTH)
