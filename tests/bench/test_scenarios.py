import pytest
from bench.backlog import Backlog
from bench.scenarios import RATE, Size, scenarios
from bench.server import Databases

TINY = Size(enqueue=5, bulk=20, drain=40, pings=3, backlog=Backlog(20, 10, 10), sustained=3_000, imports=1)
NAMES = [
    "enqueue", "bulk", "drain", "drain-2", "pick-up", "backlog", "snapshot", "features", "sustained", "import"
]  # fmt: skip


@pytest.fixture(scope="module")
def by_name(postgres_server):
    databases = Databases(postgres_server)
    yield {scenario.name: scenario for scenario in scenarios(databases, TINY, peers=[])}
    databases.close()


def test_all_scenarios_are_named_here(by_name):
    assert list(by_name) == NAMES


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_loses_nothing(by_name, name):
    scenario = by_name[name]

    figures = {who: measure() for who, measure in scenario.entries.items()}

    assert scenario.reference in figures
    assert all(measured.get(RATE, 1) >= 0 for measured in figures.values())
