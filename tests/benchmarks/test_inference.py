"""The benchmark of inference in miniature."""

import pytest

from benchmarks import inference


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_engine_and_part_has_its_row(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rows = inference.main(["--tiny", "--repeats", "3", "--threads", "1", "--out", str(tmp_path)])
    wholes = [row for row in rows if row["part"] == "whole"]
    assert {row["engine"] for row in wholes} == set(inference.engines("cpu"))
    assert wholes[0]["ratio"] == 1 and all(row["median_ms"] > 0 for row in rows)
    assert (tmp_path / "inference.csv").read_text().count("\n") == len(rows) + 1
