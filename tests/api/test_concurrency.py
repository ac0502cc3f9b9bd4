import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest

from durex_core.api.asgi import asgi

CALLERS = 20


def all_at_once(url, request):
    """Let 20 callers, each with a connection of its own, make their requests at the same moment."""
    start = threading.Barrier(CALLERS)

    def call(number):
        with httpx.Client(base_url=url, timeout=60) as client:
            start.wait()
            return request(client, number)

    with ThreadPoolExecutor(CALLERS) as threads:
        return list(threads.map(call, range(CALLERS)))


def test_requests_side_by_side_each_get_their_own_answer(url, shop):
    def enqueue(client, number):
        created = client.post("/v1/commands", json={"name": "anything", "payload": number, "tags": [str(number)]})
        return created.status_code, client.get(created.headers["location"]).json()

    answers = all_at_once(url, enqueue)

    assert [status for status, _ in answers] == [201] * CALLERS
    assert [(found["payload"], found["tags"]) for _, found in answers] == [(n, [str(n)]) for n in range(CALLERS)]
    assert len({found["id"] for _, found in answers}) == CALLERS
    assert shop.stored()["commands"] == CALLERS


def test_good_and_bad_requests_side_by_side_do_not_mix(url, shop):
    def mixed(client, number):
        match number % 4:
            case 0:
                return client.post("/v1/commands", json={"name": "tick"}).status_code
            case 1:
                return client.post("/v1/commands", json={"name": "tick", "retries": -1}).json()["errors"][0]["field"]
            case 2:
                return client.get("/nowhere").status_code
            case _:
                return client.get("/v1/health").json()["status"]

    answers = all_at_once(url, mixed)

    assert answers == [201, "retries", 404, "healthy"] * (CALLERS // 4)
    assert shop.stored()["commands"] == CALLERS // 4


def test_the_same_idempotency_key_at_the_same_moment_creates_one_command(url, shop):
    def enqueue(client, number):
        body = {"name": "anything", "payload": number}
        return client.post("/v1/commands", json=body, headers={"Idempotency-Key": "once"})

    answers = all_at_once(url, enqueue)

    assert sorted(answer.status_code for answer in answers) == [200] * (CALLERS - 1) + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert [answer.json()["created"] for answer in answers].count(True) == 1
    assert shop.stored() == {"commands": 1, "finished_commands": 0, "keys": 1}


def test_a_request_that_takes_its_time_keeps_no_other_waiting(url, shop):
    with ThreadPoolExecutor(1) as threads, httpx.Client(base_url=url, timeout=30) as client:
        slow = threads.submit(httpx.post, f"{url}/v1/commands", json={"name": "slow", "payload": "x"}, timeout=60)
        try:
            assert shop.entered.wait(30)
            assert client.get("/v1/health").status_code == 200
            assert not slow.done()
        finally:
            shop.leave.set()

        assert slow.result().status_code == 201


@pytest.fixture
def meeting_in_the_middlewares():
    """Whoever builds a route's middlewares waits there for a second one to do the same."""
    both = threading.Barrier(2)

    class Meeting(logging.Handler):
        def handle(self, record):  # not emit, which is called under a lock
            if "Building middleware stack" in record.getMessage():
                with suppress(threading.BrokenBarrierError):
                    both.wait(5)

    logger = logging.getLogger("aws_lambda_powertools.event_handler.api_gateway")
    handler = Meeting()

    def begin():
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)

    yield begin
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def test_the_first_two_requests_to_a_route_may_come_together(lasting_shop, serve, meeting_in_the_middlewares):
    application = asgi(lasting_shop.app)
    meeting_in_the_middlewares()

    with serve(application) as url, ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: httpx.get(f"{url}/v1/health", timeout=30).status_code, range(2)))

    assert answers == [200, 200]
