"""What the environment says of the database: how to get in, and with how many connections."""

import os

from durex_core.aws.credentials import rds_certificates, rds_token
from durex_core.errors import DurexError
from durex_core.store.database import Access


def access(url: str) -> Access:
    """Read how to get into the database of a URL.

    Raises:
        DurexError: a variable holds a value that it may not.
    """
    is_iam = _choice("DUREX_DATABASE_AUTH", ("password", "iam")) == "iam"
    return Access(
        password=rds_token(url) if is_iam else None,
        sslmode=os.environ.get("DUREX_DATABASE_SSLMODE") or ("verify-full" if is_iam else None),
        certificates=rds_certificates() if is_iam else None,
        connect_timeout_seconds=int(os.environ.get("DUREX_DATABASE_CONNECT_TIMEOUT_SECONDS", "10")),
        max_connections=_max_connections(),
        answer_timeout_seconds=float(os.environ.get("DUREX_DATABASE_ANSWER_TIMEOUT_SECONDS") or 0) or None,
        is_resident=not _is_lambda(),
    )


def _max_connections() -> int | None:
    """Return how many connections may be open at a time: in Lambda one, on which the deployment's sums rest."""
    given = os.environ.get("DUREX_DATABASE_MAX_CONNECTIONS")
    if given:
        return int(given)
    return 1 if _is_lambda() else None


def _is_lambda() -> bool:
    return "AWS_LAMBDA_FUNCTION_NAME" in os.environ


def _choice(variable: str, choices: tuple[str, ...]) -> str:
    value = os.environ.get(variable) or choices[0]
    if value not in choices:
        raise DurexError(f"{variable}={value!r}: use one of {', '.join(choices)}")
    return value
