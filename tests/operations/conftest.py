"""The store on virtual time, and whoever hears of what operations do."""

import pytest
from listener import Listener
from virtual_store import VirtualStore

from durex_core.observer import Observers
from durex_core.operations.after import After
from durex_core.store.database import Database


@pytest.fixture
def heard() -> Listener:
    """Who hears of everything."""
    return Listener()


@pytest.fixture
def after(heard: Listener) -> After:
    """What operations tell."""
    return After(heard, Observers([heard]))


@pytest.fixture
def store(database: Database) -> VirtualStore:
    """A store of its own; operations run on the database's own time, which is later than the virtual one."""
    return VirtualStore(database)
