"""The benchmark of training at its smallest size, this checkout against itself."""

from pathlib import Path

import pytest

from benchmarks import training

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_checkout_against_itself(tmp_path):
    out = tmp_path / "training.csv"
    rows = training.main(["--cases", "toy", "toy-loader", "--steps", "2", "--against", str(ROOT), "--out", str(out)])
    assert [(row["case"], row["code"]) for row in rows] == [
        ("toy", "this"),
        ("toy", "other"),
        ("toy-loader", "this"),
        ("toy-loader", "other"),
    ]
    assert rows[0]["loss_difference"] == 0
    assert all(row["images_per_second"] > 0 for row in rows)
    assert len(out.read_text().splitlines()) == 5
