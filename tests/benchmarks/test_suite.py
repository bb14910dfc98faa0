"""The suite's benchmark: what it concludes from its runs."""

from __future__ import annotations

import pytest

from benchmarks import suite


def test_the_summary_is_the_median_of_the_rounds_ratios():
    times = {"cold": [10.0, 20.0, 10.0], "now": [5.0, 5.0, 4.0]}
    rows = [
        {"round": turn, "way": way, "processor_s": times[way][turn], "wall_s": 2 * times[way][turn]}
        for turn in range(3)
        for way in (suite.WAYS if turn % 2 == 0 else reversed(suite.WAYS))
    ]
    assert suite.summary(rows) == (
        "processor_s: 0.400 of cold (0.250 to 0.500); wall_s: 0.400 of cold (0.250 to 0.500); all bytes equal in 6 runs"
    )


@pytest.mark.parametrize("found", [{"a": "1", "b": "3"}, {"a": "1"}, {"a": "1", "b": "2", "c": "4"}])
def test_other_bytes_are_an_error(found):
    made: dict[str, str] = {}
    suite._compare(made, {"a": "1", "b": "2"})
    suite._compare(made, {"a": "1", "b": "2"})
    with pytest.raises(RuntimeError, match=r"bytes differ between runs: [bc]"):
        suite._compare(made, found)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_both_ways_give_the_same_bytes():
    cold, now = suite.measure(rounds=1, iterations=1, images=2)
    assert (cold["way"], cold["shared"], now["way"]) == ("cold", 0, "now")
    assert now["shared"] >= 5 and now["stages"] == cold["stages"]
    assert now["processor_s"] < cold["processor_s"]
