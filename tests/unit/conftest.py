"""An application and a registry that are empty."""

import pytest
from letters import LIMIT

from durex_core import Durex
from durex_core.registry import Registry


@pytest.fixture
def registry() -> Registry:
    """An empty registry."""
    return Registry(max_payload_bytes=LIMIT)


@pytest.fixture
def app() -> Durex:
    """An application without commands."""
    return Durex("sqlite:///:memory:")
