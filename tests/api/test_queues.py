"""`POST /v1/queues/{queue}/wake`: workers are told of commands that were stored behind durex's back."""

import json
import threading
from datetime import timedelta

import boto3
import httpx
import pytest
from botocore.stub import Stubber
from staging import Hand, Stage, wait_until

from durex_core import Durex
from durex_core.api.asgi import asgi
from durex_core.aws.wake import SqsWake
from durex_core.store.database import open_database

FAR = timedelta(days=1)
URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/tick"
WAKE = "/v1/queues/tick/wake"
DONE = {"Successful": [], "Failed": []}
REFUSED = {"Successful": [], "Failed": [{"Id": "0", "SenderFault": False, "Code": "InternalError"}]}


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_workers_hear_of_commands_that_nobody_told_them_of(shop, client, database_url):
    shop.app.command("tick", replace=True)(lambda: "ticked")
    stage = Stage(database_url)
    hand = Hand(shop.app.worker(lease=timedelta(minutes=10)))
    try:
        enqueued = shop.app.enqueue("tick", delay=FAR)
        threading.Event().wait(0.5)  # until the worker has read that it is not due yet
        stage.make_due()
        response = client.post(WAKE)

        assert (response.status_code, response.json()) == (202, {"queue": "tick"})
        wait_until(lambda: shop.app.get(enqueued.id).state.is_terminal, timeout_seconds=5)
    finally:
        hand.stop()
        stage.close()


def test_an_unknown_queue_is_answered_with_those_that_there_are(lasting_client, assert_problem):
    document = assert_problem(lasting_client.post("/v1/queues/tock/wake"), 404, "queue-not-found")

    assert "'tock'" in document["detail"]
    assert "process_order" in document["detail"]


class Sqs:
    """A real client of SQS, answered by the test, that keeps what it was asked to send."""

    def __init__(self):
        self.client = boto3.client("sqs", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
        self.stubber = Stubber(self.client)
        self.sent = []
        self.client.meta.events.register("before-parameter-build.sqs.SendMessageBatch", self._keep)

    def _keep(self, params, **_):
        self.sent += [(json.loads(entry["MessageBody"])["queue"], entry["DelaySeconds"]) for entry in params["Entries"]]

    def answer(self, *answers):
        for each in answers:
            self.stubber.add_response("send_message_batch", each)


@pytest.fixture
def sqs():
    made = Sqs()
    with made.stubber:
        yield made
        made.stubber.assert_no_pending_responses()


@pytest.fixture
def on_aws(sqs, serve):
    """A client of an application in the cloud, whose database cannot be had."""
    app = Durex()
    app.command("tick")(lambda: None)
    database = open_database("postgresql://nobody@127.0.0.1:1/nothing")
    with (
        app.redirected(database, SqsWake({"tick": URL}, sqs=lambda: sqs.client)),
        serve(asgi(app)) as url,
        httpx.Client(base_url=url) as client,
    ):
        yield client


def test_a_wake_is_sent_with_an_echo_while_the_database_sleeps_on(on_aws, sqs):
    sqs.answer(DONE, DONE)

    assert on_aws.post(WAKE).status_code == 202
    (echo, after), now = sqs.sent
    assert (echo, now) == ("tick", ("tick", 0))
    assert 30 <= after <= 60


def test_a_wake_that_cannot_be_sent_is_to_be_tried_again(on_aws, sqs, assert_problem):
    sqs.answer(DONE, REFUSED)

    response = on_aws.post(WAKE)

    assert_problem(response, 503, "wake-not-sent")
    assert int(response.headers["retry-after"]) > 0


def test_an_unknown_queue_is_refused_before_anything_is_sent(on_aws, sqs, assert_problem):
    assert_problem(on_aws.post("/v1/queues/tock/wake"), 404, "queue-not-found")
    assert sqs.sent == []
