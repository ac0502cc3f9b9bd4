"""The store on virtual time, on a fresh database of each kind in turn."""

import pytest
from virtual_store import VirtualStore

from durex_core.store.database import Database


@pytest.fixture
def store(database: Database) -> VirtualStore:
    """The store on virtual time."""
    return VirtualStore(database)
