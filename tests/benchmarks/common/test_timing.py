"""The protocol that all benchmarks share."""

import pytest

from benchmarks.common.timing import interleaved, ratio, rounds, row, spread


def test_candidates_run_in_an_order_that_alternates():
    calls = []
    samples = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=3, warmup=1)
    assert "".join(calls) == "abbaabba"
    assert {name: len(times) for name, times in samples.items()} == {"a": 3, "b": 3}
    assert all(time >= 0 for times in samples.values() for time in times)


def test_a_row_holds_median_and_quartiles():
    assert row([4, 1, 2, 3, 5]) == {"median_ms": 3, "p25_ms": 2, "p75_ms": 4, "n": 5}


def test_a_ratio_is_taken_round_by_round():
    """When the machine slows both down in one round, their ratio stays."""
    assert ratio([1, 10, 1], [2, 20, 2]) == {"ratio": 2, "ratio_p25": 2, "ratio_p75": 2}


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_small_and_large_times_keep_their_digits(scale):
    assert row([1.23456 * scale])["median_ms"] == pytest.approx(1.23456 * scale, rel=1e-5)


def test_long_measurements_print_their_progress(capsys, monkeypatch):
    times = iter([0.0, 10.0, 20.0, 30.0, 40.0])
    monkeypatch.setattr("benchmarks.common.timing.time.monotonic", lambda: next(times))
    assert list(rounds(4)) == [0, 1, 2, 3]
    assert capsys.readouterr().err == "2 of 4 rounds, about 20 s to go\n"


def test_a_spread_has_the_quartiles_under_its_name():
    assert spread("share", [4, 1, 2, 3, 5]) == {"share": 3, "share_p25": 2, "share_p75": 4}
