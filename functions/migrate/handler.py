"""Brings the schema up to date, called by the deployment's trigger; a failure fails the deployment."""

from typing import Any

from durex_core.serverless.migrate import migrate


def handler(_event: dict[str, Any], _context: object) -> dict[str, list[str]]:
    """Apply what is missing."""
    return {"applied": migrate()}
