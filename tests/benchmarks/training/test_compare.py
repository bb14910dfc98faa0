"""The benchmark of training: its columns by arithmetic, and all of it at its smallest size, this checkout against itself."""

import csv

import pytest

from benchmarks.training import compare as training
from benchmarks.training.compare import Candidate, Taken, add_feeds, differences, table
from benchmarks.training.picture import draw
from tests.support.paths import ROOT

PART = {"loader": 9.0, "transfer": 0.001, "forward": 0.2, "backward": 0.4, "optimiser": 0.05, "other": 9.0}


def candidate(code, precision="fp32"):
    return Candidate(code, precision, ROOT)


def rows_of(case="toy"):
    """The other code at 400 ms a step, this at 200 and 100; the loaders at 50 ms."""
    step = {
        candidate("other"): Taken([400, 400, 400], [800, 800, 800], [4.0, 2.0, 1.0, 0.5, 0.25], []),
        candidate("this"): Taken([200, 200, 400], [400, 400, 400], [4.0, 2.0, 1.0, 0.5, 0.25], [PART] * 5),
        candidate("this", "bf16"): Taken([100, 100, 100], [200, 200, 200], [4.4, 1.8, 1.0, 0.5, 0.25], [PART] * 5),
    }
    loader = {candidate("other"): Taken([50], [40], [], []), candidate("this"): Taken([25], [50], [], [])}
    return [*table(case, 2, step), *table(f"{case}-loader", 2, loader)]


def test_every_row_is_compared_with_the_other_code():
    other, fp32, bf16, *_ = rows_of()
    assert (other["speedup"], fp32["speedup"], bf16["speedup"]) == (1, 2, 4)
    assert fp32["speedup_p25"] == 1.5, "round by round: 2, 2 and 1"
    assert (bf16["speedup_processor"], bf16["images_per_s"], bf16["images_per_processor_s"]) == (4, 80, 40)
    assert (bf16["transfer_ms"], bf16["backward_ms"]) == (1, 400)
    assert "loader_ms" not in bf16 and "forward_ms" not in other


def test_two_loss_curves_are_compared_step_by_step_and_by_their_running_mean():
    found = differences([4.4, 1.8, 1.0, 0.5], [4.0, 2.0, 1.0, 0.5])
    assert found == {
        "loss_first": 4.4,
        "loss_last": 0.5,
        "loss_difference_mean": 0.05,  # (0.1 + 0.1 + 0 + 0) / 4
        "loss_difference_max": 0.1,
        "loss_difference_running": pytest.approx(0.2 / 7.5, rel=1e-3),  # the window is all four steps
    }
    far = differences([*[1.0] * 10, 2.0], [1.0] * 11)
    assert (far["loss_difference_max"], far["loss_difference_running"]) == (1.0, 0.1)


def test_a_loader_says_how_many_steps_one_core_feeds():
    rows = rows_of()
    add_feeds(rows)
    other, this = rows[3:]
    assert other["feeds_fp32"] == 800 / 40 and "feeds_bf16" not in other
    assert (this["feeds_fp32"], this["feeds_bf16"]) == (400 / 50, 200 / 50)
    assert (this["case"], this["precision"]) == ("toy-loader", "") and "loss_first" not in this


@pytest.mark.parametrize("loaders", [False, True], ids=["steps", "loaders alone"])
def test_the_picture_has_a_bar_for_every_row(loaders):
    rows = [row for row in [*rows_of(), *rows_of("r50")] if row["case"].endswith("loader") == loaders]
    figure = draw(rows, "a machine")
    bars = [[text.get_text() for text in axes.get_yticklabels()] for axes in figure.axes if axes.get_visible()]
    steps = ["the other, fp32", "this code, fp32", "this code, bf16"]
    assert bars == [["the other, loader", "this code, loader"]] * 2 if loaders else [steps] * 4


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_checkout_against_itself(tmp_path):
    asked = ["--cases", "toy", "toy-loader", "--steps", "2", "--threads", "1", "--against", str(ROOT), "--out", str(tmp_path)]
    training.main(asked)
    rows = list(csv.DictReader((tmp_path / "training.csv").read_text().splitlines()))
    assert [(row["case"], row["code"], row["precision"]) for row in rows] == [
        ("toy", "other", "fp32"),
        ("toy", "this", "fp32"),
        ("toy", "this", "bf16"),
        ("toy-loader", "other", ""),
        ("toy-loader", "this", ""),
    ]
    assert float(rows[1]["loss_difference_max"]) == 0 < float(rows[2]["loss_difference_max"]) < 0.01
    assert all(float(row["images_per_s"]) > 0 and row["hardware"] for row in rows) and float(rows[4]["feeds_bf16"]) > 0
    assert (tmp_path / "training.png").stat().st_size > 10_000


def test_a_folder_without_the_code_is_refused(tmp_path, capsys):
    """Else Python would find the installed code, and compare it with itself."""
    with pytest.raises(SystemExit):
        training.main(["--against", str(tmp_path)])
    assert "no yolact/training/loop.py; name the root of a checkout" in capsys.readouterr().err
