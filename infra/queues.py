"""The bells, one wake queue and one dead letter queue for each queue of commands; and the way in without a database.

A wake is a hint that may come back many times while a database sleeps, so its queue is patient (1,000 receives); what
cannot be read at all a worker puts into the dead letter queue itself. What is enqueued while the database is away waits
in a queue of its own, as patiently, until the drain can store it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.plan import VISIBILITY_FACTOR, QueuePlan

MAX_RECEIVES = 1000
DRAIN_TIMEOUT_SECONDS = 60  # a database takes up to half a minute to resume, and storing comes after
_RETENTION = Duration.days(14)


@dataclass(frozen=True, slots=True)
class Bell:
    """The wakes of one queue of commands."""

    plan: QueuePlan
    wake: sqs.Queue
    dead_letters: sqs.Queue


class Queues(Construct):
    """Every queue of the application."""

    def __init__(self, scope: Construct, id_: str, *, plans: tuple[QueuePlan, ...]) -> None:
        """Make the queues."""
        super().__init__(scope, id_)
        self.bells: Mapping[str, Bell] = {plan.name: self._bell(plan) for plan in plans}

    @property
    def wake_urls(self) -> str:
        """The URL of each queue's wakes, as JSON."""
        return Stack.of(self).to_json_string({name: bell.wake.queue_url for name, bell in self.bells.items()})

    def grant_wake(self, grantee: iam.IGrantable) -> None:
        """Let a function wake every queue: one statement, since a policy's size is limited."""
        iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["sqs:SendMessage"],
            resource_arns=[bell.wake.queue_arn for bell in self.bells.values()],
        )

    def _bell(self, plan: QueuePlan) -> Bell:
        dead_letters = _queue(self, f"{plan.identifier}DeadLetters")
        wake = _patient_queue(self, f"{plan.identifier}Wake", plan.visibility_seconds, dead_letters)
        return Bell(plan, wake, dead_letters)


class Ingest(Construct):
    """Where commands wait that were enqueued while the database was away."""

    def __init__(self, scope: Construct, id_: str) -> None:
        """Make the queue and its dead letters."""
        super().__init__(scope, id_)
        self.dead_letters = _queue(self, "DeadLetters")
        self.queue = _patient_queue(self, "Queue", VISIBILITY_FACTOR * DRAIN_TIMEOUT_SECONDS, self.dead_letters)


def _patient_queue(scope: Construct, id_: str, visibility_seconds: int, dead_letters: sqs.Queue) -> sqs.Queue:
    return _queue(
        scope,
        id_,
        visibility_timeout=Duration.seconds(visibility_seconds),
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letters, max_receive_count=MAX_RECEIVES),
    )


def _queue(
    scope: Construct,
    id_: str,
    *,
    visibility_timeout: Duration | None = None,
    dead_letter_queue: sqs.DeadLetterQueue | None = None,
) -> sqs.Queue:
    return sqs.Queue(
        scope,
        id_,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        retention_period=_RETENTION,
        visibility_timeout=visibility_timeout,
        dead_letter_queue=dead_letter_queue,
    )
