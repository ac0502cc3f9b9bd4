"""Getting into Aurora: IAM tokens that are made in time, and the certificates that its servers are known by."""

import ssl
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from durex_core import environment
from durex_core.aws import credentials
from durex_core.aws.clients import client
from durex_core.aws.credentials import rds_certificates, rds_token
from durex_core.errors import DurexError

URL = "postgresql://durex_worker@cluster.example:5433/durex"
NOW = datetime(2026, 3, 1, tzinfo=UTC)

pytestmark = pytest.mark.usefixtures("aws")


def test_a_token_names_the_user_and_the_server_and_is_good_for_a_quarter_of_an_hour():
    token = urlsplit(f"https://{rds_token(URL)()}")

    query = parse_qs(token.query)
    assert (token.hostname, token.port) == ("cluster.example", 5433)
    assert (query["Action"], query["DBUser"], query["X-Amz-Expires"]) == (["connect"], ["durex_worker"], ["900"])


@pytest.mark.parametrize(
    ("later", "made"),
    [(timedelta(minutes=9), 1), (timedelta(minutes=10), 2), (timedelta(hours=-1), 2)],
)
def test_a_token_is_made_anew_before_it_is_too_old(monkeypatch, later, made):
    tokens = iter(["first", "second"])
    monkeypatch.setattr(client("rds"), "generate_db_auth_token", lambda **_: next(tokens))
    monkeypatch.setattr(credentials, "utc_now", lambda: NOW)
    current = rds_token(URL)
    assert [current(), current()] == ["first", "first"]
    monkeypatch.setattr(credentials, "utc_now", lambda: NOW + later)

    assert current() == ["first", "second"][made - 1]


def test_the_certificates_are_those_of_every_region():
    context = ssl.create_default_context(cafile=rds_certificates())

    names = str(context.get_ca_certs())
    assert len(context.get_ca_certs()) > 50
    assert all(f"Amazon RDS {region} Root CA" in names for region in ("us-east-1", "eu-central-1", "ap-southeast-2"))


def test_iam_checks_the_server_and_asks_for_a_token_at_each_connect(monkeypatch):
    monkeypatch.setenv("DUREX_DATABASE_AUTH", "iam")

    access = environment.access(URL)

    assert (access.sslmode, access.certificates) == ("verify-full", rds_certificates())
    assert access.password is not None
    assert access.password().startswith("cluster.example:5433/")


def test_lambda_opens_one_connection_unless_it_is_told_otherwise(monkeypatch):
    assert environment.access(URL).max_connections is None
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "worker")
    assert environment.access(URL).max_connections == 1
    monkeypatch.setenv("DUREX_DATABASE_MAX_CONNECTIONS", "2")
    assert environment.access(URL).max_connections == 2


def test_another_way_to_sign_in_is_refused(monkeypatch):
    monkeypatch.setenv("DUREX_DATABASE_AUTH", "kerberos")

    with pytest.raises(DurexError, match="DUREX_DATABASE_AUTH='kerberos': use one of password, iam"):
        environment.access(URL)
