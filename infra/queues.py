"""The bells: one wake queue and one dead letter queue for each queue of commands.

A wake is a hint that may come back many times while a database sleeps, so its queue is patient (1,000 receives); what
cannot be read at all a worker puts into the dead letter queue itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.plan import QueuePlan

MAX_RECEIVES = 1000
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
        dead_letters = self._queue(f"{plan.identifier}DeadLetters")
        wake = self._queue(
            f"{plan.identifier}Wake",
            visibility_timeout=Duration.seconds(plan.visibility_seconds),
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letters, max_receive_count=MAX_RECEIVES),
        )
        return Bell(plan, wake, dead_letters)

    def _queue(
        self,
        id_: str,
        *,
        visibility_timeout: Duration | None = None,
        dead_letter_queue: sqs.DeadLetterQueue | None = None,
    ) -> sqs.Queue:
        return sqs.Queue(
            self,
            id_,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=_RETENTION,
            visibility_timeout=visibility_timeout,
            dead_letter_queue=dead_letter_queue,
        )
