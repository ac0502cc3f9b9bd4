"""Passwords for Aurora: a short-lived IAM token, or the master user's secret.

A token is signed on this machine without a call, is good for 15 minutes, and is made anew after ten.
"""

import json
import threading
from collections.abc import Callable
from importlib.resources import files
from urllib.parse import urlsplit

from durex_core.aws.clients import client
from durex_core.clock import utc_now

_TOKEN_SECONDS = 600.0


def rds_token(url: str) -> Callable[[], str]:
    """Return a function that gives a current IAM token for a database URL's user, host and port."""
    parts = urlsplit(url)
    lock = threading.Lock()
    token, made_at = "", 0.0

    def current() -> str:
        # By the wall clock: the monotonic one may stand still while Lambda keeps an environment frozen.
        nonlocal token, made_at
        now = utc_now().timestamp()
        with lock:
            if not token or not 0 <= now - made_at < _TOKEN_SECONDS:
                token = client("rds").generate_db_auth_token(
                    DBHostname=parts.hostname, Port=parts.port or 5432, DBUsername=parts.username
                )
                made_at = now
            return token

    return current


def secret(arn: str) -> dict[str, str]:
    """Return a secret that holds a JSON object, such as an RDS master user's `username` and `password`."""
    value = client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
    return {name: str(part) for name, part in json.loads(value).items()}


def rds_certificates() -> str:
    """Return the path of the root certificates that RDS servers are signed by."""
    return str(files("durex_core.aws") / "rds-ca.pem")
