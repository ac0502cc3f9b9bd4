"""A command that ended while it waited for others cannot run without them."""

from datetime import timedelta

import pytest
from virtual_store import VirtualStore

from durex_core.errors import NotAllowed
from durex_core.model import Extras, State
from durex_core.operations import cancel, revive
from durex_core.operations.after import After
from durex_core.rules.outcomes import Expired


@pytest.mark.parametrize("allow_failures", [True, False])
def test_one_that_was_cancelled_while_it_waited_is_not_retried(store: VirtualStore, after: After, allow_failures: bool):
    waiting = store.add(awaits=2, extras=Extras(allow_failures=allow_failures))
    cancel.cancel(store.database, after, waiting, None)

    with pytest.raises(NotAllowed, match="ended while it waited for 2 other commands, and may not run without them"):
        revive.retry(store.database, after, waiting)

    assert store.get(waiting).state is State.CANCELLED


def test_one_that_expired_while_it_waited_is_not_retried(store: VirtualStore, after: After):
    waiting = store.add(awaits=1, extras=Extras(deadline=timedelta(seconds=1)))
    store.advance(timedelta(seconds=1))
    store.settle(store.claim_one(), Expired())

    with pytest.raises(NotAllowed, match="ended while it waited for 1 other command"):
        revive.retry(store.database, after, waiting)

    assert store.get(waiting).state is State.EXPIRED
