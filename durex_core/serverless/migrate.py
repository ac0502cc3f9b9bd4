"""The migrate function: bring the schema up to date in a deployment, before the code that needs it."""

import json
import logging
import os
from collections.abc import Mapping
from urllib.parse import quote, urlsplit, urlunsplit

from durex_core.aws.credentials import rds_certificates, secret
from durex_core.model import RetentionPolicy
from durex_core.operations import schema
from durex_core.serverless.patience import wait_for_database
from durex_core.store.database import Access, Database, open_database

_PATIENCE_SECONDS = 60.0
_CONNECT_SECONDS = 20

_log = logging.getLogger(__name__)


def migrate(environment: Mapping[str, str] = os.environ, policy: RetentionPolicy | None = None) -> list[str]:
    """Apply what is missing as the master user, then set up the functions' roles; return what was applied."""
    database = _open(environment)
    try:
        wait_for_database(database, seconds=_PATIENCE_SECONDS)
        applied = schema.migrate(database, policy or RetentionPolicy())
        if roles := json.loads(environment.get("DUREX_DATABASE_ROLES") or "{}"):
            schema.grant(database, roles)
    finally:
        # An open connection would keep the database from its pause for as long as this environment is kept.
        database.close()
    _log.info("applied: %s", ", ".join(applied) or "nothing, the schema is up to date")
    return applied


def _open(environment: Mapping[str, str]) -> Database:
    url = environment["DUREX_DATABASE_URL"]
    sslmode = environment.get("DUREX_DATABASE_SSLMODE")
    access = Access(
        sslmode=sslmode,
        certificates=rds_certificates() if sslmode == "verify-full" else None,
        connect_timeout_seconds=_CONNECT_SECONDS,
    )
    arn = environment.get("DUREX_DATABASE_SECRET_ARN")
    return open_database(_with_login(url, secret(arn)) if arn else url, access)


def _with_login(url: str, login: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    user, password = (quote(login[part], safe="") for part in ("username", "password"))
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{address}"))
