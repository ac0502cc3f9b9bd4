import socket

import psycopg
import pytest

from durex_core import Durex


@pytest.fixture(params=["sqlite", "postgres"])
def lost_app(request, tmp_path):
    """An application whose database is not there."""
    if request.param == "sqlite":
        return _app(f"sqlite:///{tmp_path}/missing/durex.db")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return _app(f"postgresql://durex:swordfish@127.0.0.1:{port}/durex")


def _app(url):
    app = Durex(url)

    @app.command("tick")
    def tick(): ...

    return app


def test_a_database_that_answers_is_healthy(client, shop):
    response = client.get("/v1/health")

    document = response.json()
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert document == {
        "status": "healthy",
        "database": shop.app.database.dialect,
        "schema_version": document["schema_version"],
    }
    assert document["schema_version"] >= 1
    assert client.head("/v1/health").status_code == 200


def test_without_a_database_every_route_answers_503_and_when_to_come_back(client_of, lost_app, assert_problem):
    with client_of(lost_app) as client:
        for response in (
            client.get("/v1/health"),
            client.post("/v1/commands", json={"name": "tick"}),
            client.get("/v1/commands/019a2063-fc05-72e4-9bc1-56922de41a35"),
        ):
            assert_problem(response, 503, "database-unavailable")
            assert int(response.headers["retry-after"]) > 0
            assert "swordfish" not in response.text
            assert "missing" not in response.text


def test_what_is_refused_is_refused_without_a_database_too(client_of, lost_app, assert_problem):
    with client_of(lost_app) as client:
        assert_problem(
            client.post("/v1/commands", json={"name": "tick", "retries": -1}), 422, "invalid-spec", ["retries"]
        )


def test_a_database_that_was_never_migrated_is_not_healthy(client_of, postgres_server, assert_problem):
    with client_of(_app(postgres_server)) as client:
        response = client.get("/v1/health")

        document = assert_problem(response, 503, "schema-missing")
        assert "durex migrate" in document["detail"]
        assert "retry-after" in response.headers


def test_a_database_whose_locks_are_held_for_long_is_busy(client_of, postgres_url, assert_problem):
    app = _app(f"{postgres_url}{'&' if '?' in postgres_url else '?'}options=-c%20lock_timeout%3D50ms")

    with client_of(app) as client:
        with psycopg.connect(postgres_url) as holder:
            holder.execute("LOCK TABLE durex.commands IN ACCESS EXCLUSIVE MODE")
            refused = client.post("/v1/commands", json={"name": "tick"})

        assert_problem(refused, 503, "database-busy")
        assert int(refused.headers["retry-after"]) > 0
        assert client.post("/v1/commands", json={"name": "tick"}).status_code == 201
