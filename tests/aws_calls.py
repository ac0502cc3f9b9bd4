"""Clients of AWS without a network: each request is checked against AWS's own model, remembered and answered."""

import json
from collections.abc import Callable
from typing import Any

import boto3

from durex_core.aws.alarm import AlarmSettings

ALARMS = AlarmSettings(
    "alarms", "arn:aws:iam::000000000000:role/alarms", "arn:aws:lambda:us-east-1:000000000000:function:tick"
)

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class Refused(Exception):
    """AWS answers with an error; its code is the argument."""


class Calls:
    """A client of a service; `answer` says what becomes of a request, and raises `Refused` where AWS would."""

    def __init__(self, service: str) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answer: Answer = self.as_usual
        self._client = boto3.client(
            service, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        self._client.meta.events.register_first(f"provide-client-params.{service}", self._note)
        self._client.meta.events.register_first(f"before-call.{service}", self._respond)

    def __call__(self) -> Any:
        """Return the client, as whoever makes clients does."""
        return self._client

    def as_usual(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002  a service may look at it
        """Take every request."""
        return {}

    def refuse(self, code: str = "ServiceUnavailable", *, times: int = 10**9) -> None:
        """Let the next requests, or all of them, be answered with an error."""
        left = [times]

        def answer(request: dict[str, Any]) -> dict[str, Any]:
            left[0] -= 1
            if left[0] >= 0:
                raise Refused(code)
            return self.as_usual(request)

        self.answer = answer

    def forget(self) -> None:
        """Begin anew, in working order."""
        self.requests.clear()
        self.answer = self.as_usual

    def _note(self, params: dict[str, Any], **_: Any) -> None:
        # A copy: botocore adds to what it was given.
        self.requests.append(dict(params))

    def _respond(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        try:
            return _Response(200), self.answer(self.requests[-1])
        except Refused as error:
            return _Response(400), {"Error": {"Code": str(error), "Message": "said the test"}}


class _Response:
    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


class Scheduler(Calls):
    """EventBridge Scheduler, as far as alarms need it: a name is there once."""

    def __init__(self) -> None:
        super().__init__("scheduler")

    @property
    def names(self) -> list[str]:
        """The names that schedules were to have."""
        return [request["Name"] for request in self.requests]

    def as_usual(self, request: dict[str, Any]) -> dict[str, Any]:
        """Refuse a name that is there."""
        if self.names.count(request["Name"]) > 1:
            raise Refused("ConflictException")
        return {"ScheduleArn": "arn:aws:scheduler:us-east-1:000000000000:schedule/alarms/" + request["Name"]}


class Sqs(Calls):
    """SQS, as far as wakes need it."""

    def __init__(self) -> None:
        super().__init__("sqs")

    @property
    def sent(self) -> list[tuple[str, dict[str, Any], int]]:
        """The URL, the body and the delay in seconds of each message of the requests, also of refused ones."""
        return [
            (request["QueueUrl"], json.loads(entry["MessageBody"]), entry["DelaySeconds"])
            for request in self.requests
            for entry in request["Entries"]
        ]

    @property
    def delays(self) -> list[int]:
        """The delay in seconds of each message."""
        return [seconds for _, _, seconds in self.sent]
