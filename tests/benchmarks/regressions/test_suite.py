"""The suite's benchmark: what it concludes from its runs."""

from __future__ import annotations

import csv

import pytest

from benchmarks.regressions import suite


@pytest.fixture
def rows():
    times = {"cold": [10.0, 20.0, 10.0], "now": [5.0, 5.0, 4.0]}
    runs = [
        {"round": turn, "way": way, "processor_s": times[way][turn], "wall_s": 2 * times[way][turn], "stages": 30}
        for turn in range(3)
        for way in (suite.WAYS if turn % 2 == 0 else reversed(suite.WAYS))
    ]
    return suite.beside(runs)


def test_the_summary_is_the_median_of_the_rounds_ratios(rows):
    assert suite.summary(rows) == (
        "processor time: 0.400 of cold (0.250 to 0.500); wall clock: 0.400 of cold (0.250 to 0.500); all bytes equal in 6 runs"
    )


def test_table_and_picture_are_written(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "measure", lambda rounds, iterations, images: rows)
    suite.main(["--out", str(tmp_path)])
    written = list(csv.DictReader((tmp_path / "suite.csv").open()))
    assert [row["processor_of_cold"] for row in written if row["way"] == "now"] == ["0.5", "0.25", "0.4"]
    assert {(row["threads"], bool(row["hardware"])) for row in written} == {("1", True)}
    assert (tmp_path / "suite.png").stat().st_size > 10_000


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
