import pytest
from bench.measure import Budget, percentile, summarise
from bench.report import report, shares
from bench.scenarios import PEAK, RATE, Scenario

ROUNDS = {"limit": [{RATE: 100.0}, {RATE: 10.0}, {RATE: 40.0}], "durex": [{RATE: 60.0}, {RATE: 8.0}, {RATE: 20.0}]}
DRAIN = Scenario("drain", "Drain", "limit", {})
AT_LEAST = Budget("drain", "drain", "durex", RATE, 0.6, "limit")


def test_a_ratio_is_taken_within_rounds():
    summary = summarise(ROUNDS, "durex", RATE, "limit")

    assert (summary.median, summary.least, summary.most) == (20, 8, 60)
    assert summary.ratio == pytest.approx(0.6)


def test_a_competitor_without_a_reference_has_no_ratio():
    assert summarise({"durex": [{RATE: 1.0}]}, "durex", RATE, "limit").ratio is None


def test_a_budget_is_a_ratio_or_a_figure():
    memory = Budget("memory", "drain", "durex", PEAK, 80, is_most=True)

    assert AT_LEAST.reached({"drain": ROUNDS}) == pytest.approx(0.6)
    assert memory.reached({"drain": {"durex": [{PEAK: 70.0}, {PEAK: 90.0}, {PEAK: 85.0}]}}) == 85
    assert AT_LEAST.reached({}) is None


@pytest.mark.parametrize(
    ("is_most", "reached", "is_held"), [(False, 0.6, True), (False, 0.5, False), (True, 0.7, False)]
)
def test_a_budget_is_held_up_to_its_bound(is_most, reached, is_held):
    assert Budget("", "", "", RATE, 0.6, is_most=is_most).is_held(reached) == is_held


def test_percentiles_are_values_that_occurred():
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([3, 1, 2], 0.99) == 3


def test_the_report_says_what_was_reached_and_what_was_not():
    text = report([DRAIN], {"drain": ROUNDS}, [AT_LEAST], server="Postgres", notes=["Peer is left out: no Python"])

    assert "| durex | 20 (8.00 to 60) | 0.60 |" in text
    assert "| drain | ≥ 0.6 | 0.60 | yes |" in text
    assert "Peer is left out: no Python" in text


def test_a_scenario_that_failed_for_all_is_no_table():
    assert "## Drain" not in report([DRAIN], {"drain": {}}, [], server="Postgres", notes=[])


def test_the_plot_shows_ratios():
    assert shares(DRAIN, ROUNDS)["ratios"] == {"limit": 1, "durex": pytest.approx(0.6)}


def test_what_is_nothing_for_the_reference_has_no_ratio():
    rounds = {"durex": [{"grown": 2.0}], "bare": [{"grown": 0.0}]}
    assert summarise(rounds, "durex", "grown", "bare").ratio is None
