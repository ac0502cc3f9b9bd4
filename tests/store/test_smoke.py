from datetime import timedelta

from durex_core.ids import new_id
from durex_core.model import NewCommand
from durex_core.store import commands


def test_smoke(database):
    new = NewCommand(id=new_id(), name="a", queue="a", payload={"x": 1})
    database.transact(lambda c: commands.enqueue(c, [new]))
    with database.autocommit() as c:
        (claimed,) = commands.claim(c, ["a"], limit=5, lease=timedelta(seconds=9), worker="w")
    assert claimed.id == new.id
