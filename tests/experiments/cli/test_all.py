"""`--all`: every spec planned, run and reported at once, at a size where each training takes a moment."""

from __future__ import annotations

import json

import pytest

from experiments.cli.main import call
from experiments.spec.schema import names
from experiments.store.folder import Store

TINY = "kind: shapes\nname: tiny\nshapes: {image_size: 64, train: 4, val: 2, test: 2, seed: 3}\n"
SETTINGS = {
    "training.iterations": 1,
    "training.batch_size": 2,
    "training.warmup_iterations": 1,
    "training.log_every": 1,
    "speed.repeats": 1,
    "speed.warmup": 0,
    "inference.max_detections": 3,
    "inference.score_threshold": 0.0,
}


def arguments(command, folder, *more):
    data = folder / "tiny.yaml"
    data.write_text(TINY)
    settings = [part for field, value in SETTINGS.items() for part in ("--set", f"{field}={value}")]
    return [command, "--all", *settings, "--data", str(data), "--seeds", "0", "--results", str(folder / "results"), *more]


def test_plan_lists_every_row_and_each_training_once(tmp_path, capsys):
    assert call(["plan", "--all", "--scale", "toy", "--seeds", "0", "--results", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "242 rows, 114 distinct trainings, 0 done" in text
    assert "unknown for 114" in text
    assert text.count("unknown") == 115
    assert all(f"\n{name} " in f"\n{text}" for name in names("specs"))


def test_plan_as_json_has_every_experiment(tmp_path, capsys):
    assert call(arguments("plan", tmp_path, "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert [record["experiment"] for record in found["experiments"]] == names("specs")


@pytest.mark.parametrize("wrong", [["plan"], ["plan", "nms", "--all"], ["plan", "--all", "--only", "fast"], ["report"]])
def test_one_spec_or_all(wrong, tmp_path, capsys):
    assert call([*wrong, "--results", str(tmp_path)]) == 2
    assert "--all" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_variant_of_every_spec_trains_predicts_is_timed_and_measured(tmp_path, capsys):
    assert call(arguments("run", tmp_path, "--launcher", "inprocess")) == 0
    store = Store(tmp_path / "results")
    assert {record["experiment"] for record in store.experiments()} == set(names("specs"))
    assert {view.state for view in store.records()} == {"done"}
    boxes = next(record for record in store.experiments() if record["experiment"] == "boxes")
    metrics = {
        run["variant"]: set(json.loads((store.stage(run["stages"]["coco"]).result / "metrics.json").read_text()))
        for run in boxes["runs"]
    }
    assert metrics.pop("with-masks") == {"segm", "bbox"}
    assert all(kinds == {"bbox"} for kinds in metrics.values())
    capsys.readouterr()
    assert call(arguments("run", tmp_path)) == 0
    assert "0 to run" in capsys.readouterr().out


def test_a_missing_data_set_fails_its_own_spec_alone(tmp_path, monkeypatch, capsys):
    from experiments.cli.ask import run

    monkeypatch.setenv("YOLACT_DATA", str(tmp_path / "nowhere"))
    tried = []
    monkeypatch.setattr(run.InProcess, "run", lambda self, plan, chosen, store, events: tried.append(plan) or run_outcome())
    assert call(["run", "--all", "--scale", "paper", "--launcher", "inprocess", "--results", str(tmp_path / "results")]) == 0
    assert len(tried) == 1
    assert capsys.readouterr().out.count("going on without: data set") == 2  # COCO and SBD
    assert call(["run", "nms", "--scale", "paper", "--launcher", "inprocess", "--results", str(tmp_path / "results")]) == 2


def run_outcome():
    from experiments.launch.launcher import Outcome

    return Outcome({})
