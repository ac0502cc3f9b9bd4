"""A small application, and the API of it under a real uvicorn."""

import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

import httpx
import pytest
import uvicorn
from pydantic import AfterValidator, BaseModel, PositiveInt, field_validator

from durex_core import Context, Durex
from durex_core.api.asgi import asgi
from durex_core.backoff import Constant

TABLES = ("commands", "finished_commands", "keys")
MAX_PAYLOAD_BYTES = 20_000


class Order(BaseModel):
    id: str
    amount: PositiveInt


@dataclass
class Parcel:
    weight: float
    fragile: bool = False


class Explosive(BaseModel):
    text: str

    @field_validator("text")
    @classmethod
    def explode(cls, text):
        raise RuntimeError(f"the password is swordfish, the text {text}")


def process_order(ctx: Context, order: Order): ...


def weigh(parcel: Parcel): ...


def add(numbers: list[int]): ...


def anything(payload): ...


def tick(): ...


def explode(explosive: Explosive): ...


class Shop:
    """An application with a command of every sort, on one database."""

    def __init__(self, url):
        self.app = Durex(url, max_payload_bytes=MAX_PAYLOAD_BYTES)
        self.failed_twice = threading.Event()
        self.entered = threading.Event()
        self.leave = threading.Event()
        self._register()

    def _register(self):
        command = self.app.command
        command("process_order", retries=3, tags=["order"], timeout=timedelta(seconds=30))(process_order)
        command("weigh")(weigh)
        command("add")(add)
        command("anything")(anything)
        command("tick")(tick)
        command("explode")(explode)
        command("slow")(self._slow)
        command("fail", retries=1, backoff=Constant(timedelta(0)))(self._fail)

    @property
    def _slow(self):
        def slow(payload: Annotated[str, AfterValidator(self._wait)]): ...

        return slow

    def _wait(self, text):
        self.entered.set()
        assert self.leave.wait(30)
        return text

    def _fail(self, ctx: Context):
        if ctx.attempt == 2:
            self.failed_twice.set()
        raise RuntimeError(f"attempt {ctx.attempt} failed on purpose")

    def stored(self):
        """How many rows there are in each table."""
        schema = "durex." if self.app.database.dialect == "postgres" else ""
        with self.app.database.autocommit() as connection:
            return {
                table: len(connection.raw.execute(f"SELECT 1 AS one FROM {schema}{table}").fetchall())
                for table in TABLES
            }


@contextmanager
def serving(application):
    """The URL of a server that runs during the block."""
    listener = socket.create_server(("127.0.0.1", 0))
    # Its connections inherit this. asyncio sets it on sockets whose protocol it knows, which is not so here; without
    # it, every answer waits 40 ms for the client's acknowledgement of its headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = uvicorn.Server(uvicorn.Config(application, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def shop(database_url):
    shop = Shop(database_url)
    yield shop
    shop.app.close()


@pytest.fixture
def url(shop):
    with serving(asgi(shop.app)) as url:
        yield url


@pytest.fixture
def client(url):
    with httpx.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def lasting_shop(tmp_path_factory):
    """A shop on SQLite for tests that store nothing and may share it."""
    shop = Shop(f"sqlite:///{tmp_path_factory.mktemp('api') / 'durex.db'}")
    yield shop
    shop.app.close()


@pytest.fixture(scope="module")
def lasting_client(lasting_shop):
    with serving(asgi(lasting_shop.app)) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.fixture
def serve():
    """Serves an ASGI application of the test's own during a block."""
    return serving


@pytest.fixture
def client_of():
    """Serves a durex application of the test's own."""

    @contextmanager
    def open_client(app):
        with serving(asgi(app)) as url, httpx.Client(base_url=url, timeout=30) as client:
            yield client
        app.close()

    return open_client


@pytest.fixture(scope="session")
def assert_problem():
    """Checks that an answer is problem details, all of it, about these fields."""

    def check(response, status, slug, fields=()):
        assert response.headers["content-type"] == "application/problem+json"
        document = response.json()
        assert list(document) == ["type", "title", "status", "detail", "errors"]
        assert (response.status_code, document["status"]) == (status, status)
        assert document["type"] == f"urn:durex:problem:{slug}"
        assert document["title"]
        assert document["detail"]
        assert [error["field"] for error in document["errors"]] == list(fields)
        assert all(error["message"] for error in document["errors"])
        return document

    return check
