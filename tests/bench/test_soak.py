import pytest
from bench.course import COMMANDS, HEADER, HISTORY, WORKER, Sample, line, verdicts
from bench.soak import soak

MEGABYTE = 1_000_000


def course(*, rates=(100, 100, 100), megabytes=(10, 10, 10)):
    """Return ninety seconds with a sample each second: a rate and a size for each third."""
    samples, done = [], 0
    for second in range(91):
        third = min(second // 30, 2)
        sizes = {COMMANDS: megabytes[third] * MEGABYTE, HISTORY: MEGABYTE, WORKER: MEGABYTE}
        samples.append(Sample(second, done, 0, sizes, 0, 0))
        done += rates[third]
    return samples


def wrong(samples):
    return [text.split(":")[0] for is_well, text in verdicts(samples) if not is_well]


def test_a_steady_course_is_well():
    assert wrong(course()) == []


def test_throughput_that_sinks_by_more_than_a_fifth_is_found():
    assert wrong(course(rates=(100, 50, 85))) == []
    assert wrong(course(rates=(100, 100, 75))) == ["throughput"]


def test_what_grows_before_the_last_third_is_bounded_and_what_grows_in_it_is_not():
    assert wrong(course(megabytes=(10, 40, 45))) == []
    assert wrong(course(megabytes=(10, 40, 60))) == [COMMANDS]


def test_a_sample_stands_below_the_header():
    first, second, *_ = course()

    assert second.row(first).split() == ["1", "100", "0", "10.0", "0.0", "0", "0", "1.0", "1.0"]
    assert len(second.row(first)) == len(line(HEADER))


@pytest.mark.slow
def test_a_short_soak_loses_nothing_and_drops_a_partition(postgres_server, capsys):
    samples = soak(postgres_server, 12, 200)

    assert len(samples) == 3
    said = capsys.readouterr().out
    assert "partitions made or dropped" in said
    assert "ran once each; 10 repeated" in said
