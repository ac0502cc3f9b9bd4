import json
import shlex
import signal
import socket
import threading
from urllib.request import ProxyHandler, Request, build_opener

import psycopg
import pytest
from staging import wait_until

from durex_core.model import State


def started(server):
    """Wait until it serves, and return what it said of itself."""
    server.wait_for('"event": "started"')
    return json.loads(server.out.splitlines()[0])


def send(line):
    """Send what a line of curl would, and return the answer."""
    program, url, _, header, _, body = shlex.split(line)
    name, _, value = header.partition(": ")
    assert program == "curl"
    with build_opener(ProxyHandler({})).open(Request(url, body.encode(), {name: value}), timeout=10) as response:
        return response.status, json.load(response)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_line_that_it_prints_enqueues_a_command_which_is_run(durex_on_each, number):
    with durex_on_each.running("dev", "--port", "0", "--json") as server:
        status, enqueued = send(started(server)["curl"])
        command = durex_on_each.finished(enqueued["id"])
        server.send(number)
        assert server.end() == 0
    assert (status, command.name, command.state) == (201, "process_order", State.COMPLETED)
    assert durex_on_each.json("show", enqueued["id"])["state"] == "completed"


def test_it_says_where_everything_is_found(durex):
    with durex.running("dev", "--port", "0") as server:
        server.wait_for("curl http://127.0.0.1:")
        server.send(signal.SIGTERM)
        assert server.end() == 0
    assert "/docs\n" in server.out.replace(" ", "")
    assert durex.url in server.out
    assert "process_order, fail, hold" in server.out
    assert server.out.endswith("stopped\n")


def test_it_runs_no_query_while_it_is_idle(durex_on_postgres):
    asked = (
        "SELECT pid, query_start, query, sessions FROM pg_stat_activity JOIN pg_stat_database USING (datname)"
        " WHERE datname = current_database() AND application_name = 'durex' ORDER BY pid"
    )
    with (
        psycopg.connect(durex_on_postgres.url, autocommit=True) as watcher,
        durex_on_postgres.running("dev", "--port", "0", "--json") as server,
    ):
        _, enqueued = send(started(server)["curl"])
        durex_on_postgres.finished(enqueued["id"])
        wait_until(lambda: is_quiet(lambda: watcher.execute(asked).fetchall()))
        server.send(signal.SIGTERM)
        assert server.end() == 0


def is_quiet(ask):
    """Whether nothing was asked of the database for a while."""
    before = ask()
    threading.Event().wait(1.2)
    return before and ask() == before


def test_its_documentation_is_served(durex):
    with durex.running("dev", "--port", "0", "--json") as server:
        with build_opener(ProxyHandler({})).open(started(server)["docs"], timeout=10) as page:
            assert b"swagger" in page.read().lower()
        server.send(signal.SIGTERM)
        assert server.end() == 0


def test_it_migrates_first(durex, empty_url):
    with durex.running("dev", "--port", "0", "--json", "--database", empty_url) as server:
        status, _ = send(started(server)["curl"])
        server.send(signal.SIGTERM)
        assert server.end() == 0
    assert status == 201


def test_a_taken_port_is_a_failure_that_says_so(durex):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = durex.run("dev", "--port", port)
    assert (done.returncode, done.stderr) == (
        1,
        f"error: cannot listen on 127.0.0.1, port {port}: Address already in use; choose another\n",
    )


def test_a_host_of_elsewhere_is_a_failure(durex):
    assert durex.run("dev", "--port", "0", "--host", "192.0.2.1").returncode == 1
