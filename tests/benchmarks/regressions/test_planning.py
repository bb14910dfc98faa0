"""The benchmark of planning at its smallest size."""

import pytest

from benchmarks.regressions import planning


@pytest.mark.slow
def test_the_smallest_row(tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "REPEATS", 1)
    row = planning.measure(2, 1, tmp_path)
    assert (row["stages"], row["variants"], row["seeds"]) == (10, 2, 1)
    assert all(0 < row[name] < 20 for name in planning.COMMANDS)
