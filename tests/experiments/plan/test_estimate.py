"""Estimates of time and memory from what ran before."""

from __future__ import annotations

import json

import pytest

from experiments.cli.main import call
from experiments.plan.estimate import Estimate, Estimates
from experiments.store.folder import Store
from tests.experiments.plan.test_build import plan_for


def finish(store, stage, seconds, memory=2**30, state="done"):
    folder = store.stage_folder(stage.id)
    folder.mkdir(parents=True)
    (folder / "stage.json").write_text(json.dumps(stage.record))
    status = {"state": state, "wall_seconds": seconds, "peak_memory_bytes": memory}
    (folder / "status.json").write_text(json.dumps(status))


def stages(*settings, seeds=(0,)):
    """{kind: stage} of the first variant."""
    plan = plan_for("quickstart", *settings, seeds=seeds)
    return {kind: plan.stages[stage_id] for kind, stage_id in plan.runs[0].stages.items()}


LENGTH = "training.iterations=100"


@pytest.fixture
def store(tmp_path):
    """A training of 100 iterations that took 50 s, its prediction 8 s."""
    store = Store(tmp_path)
    done = stages(LENGTH)
    finish(store, done["train"], 50.0)
    finish(store, done["predict"], 8.0, memory=2**20)
    return store


@pytest.mark.parametrize(
    ("settings", "kind", "seconds"),
    [
        ((LENGTH,), "train", 50.0),
        (("training.iterations=400",), "train", 200.0),
        ((LENGTH, "training.lr=0.5"), "train", 50.0),
        ((LENGTH, "training.lr=0.5"), "predict", 8.0),
        ((LENGTH, "inference.nms_iou=0.3"), "predict", 8.0),
        (("training.iterations=400",), "predict", 8.0),
        ((LENGTH,), "coco", None),
        ((LENGTH, "model.image_size=96"), "train", None),
        ((LENGTH, "model.image_size=96"), "predict", None),
        ((LENGTH, "runtime.device=cuda"), "train", None),
        ((LENGTH, "runtime.threads=2"), "predict", None),
    ],
)
def test_what_is_alike_is_scaled_by_its_work(store, settings, kind, seconds):
    planned = stages(*settings, seeds=(1,))
    found = Estimates(store, {stage.id: stage for stage in planned.values()}).of(planned[kind])
    assert found.seconds == (pytest.approx(seconds) if seconds else None)
    assert (found == Estimate()) is (seconds is None)


def test_the_median_time_and_the_largest_memory_count(store):
    for seed, seconds, memory in ((1, 60.0, 3 * 2**30), (2, 1000.0, 2**20)):
        finish(store, stages(LENGTH, seeds=(seed,))["train"], seconds, memory)
    finish(store, stages(LENGTH, seeds=(3,))["train"], 1.0, 2**40, state="failed")
    planned = stages(LENGTH, seeds=(9,))["train"]
    found = Estimates(store, {planned.id: planned}).of(planned)
    assert (found.seconds, found.memory_bytes) == (pytest.approx(60.0), 3 * 2**30)
    assert str(found) == "1 min 00 s, 3.0 GiB"


def test_plan_shows_them(store, capsys):
    arguments = ["plan", "quickstart", "--set", LENGTH, "--seeds", "5", "--results", str(store.root)]
    assert call([*arguments]) == 0
    text = capsys.readouterr().out
    assert "unknown" in text
    assert call([*arguments, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["stages"]
    assert all({"seconds", "memory_bytes"} <= row.keys() for row in rows)


def test_an_untrained_network_counts_among_its_like_only(store):
    """Its work is 0 iterations; trained ones say nothing of it, nor it of them."""
    untrained = stages("training.iterations=0")
    finish(store, untrained["train"], 3.0)
    finish(store, stages("training.iterations=0", seeds=(1,))["train"], 5.0)
    planned = [stages("training.iterations=0", seeds=(2,))["train"], stages("training.iterations=400")["train"]]
    found = Estimates(store, {stage.id: stage for stage in planned})
    assert [found.of(stage).seconds for stage in planned] == [pytest.approx(4.0), pytest.approx(200.0)]


def test_two_commands_on_one_folder_with_an_untrained_network(tmp_path, capsys):
    """README's order: one question with `training.iterations: 0`, then another in the same results folder."""
    store = Store(tmp_path)
    for stage in stages("training.iterations=0").values():
        finish(store, stage, 3.0)
    assert call(["plan", "oracle", "--results", str(tmp_path)]) == 0
    assert call(["plan", "--all", "--results", str(tmp_path)]) == 0
    assert "unknown" in capsys.readouterr().out


def test_plan_and_plan_all_agree(store, capsys):
    arguments = ["--set", LENGTH, "--seeds", "5", "--results", str(store.root), "--json"]
    seconds = []
    for asked in ("quickstart", "--all"):
        assert call(["plan", asked, *arguments]) == 0
        rows = json.loads(capsys.readouterr().out)["stages"]
        seconds.append({row["id"]: row["seconds"] for row in rows})
    one, every = seconds
    assert set(one.values()) != {None}
    assert one == {stage_id: every[stage_id] for stage_id in one}
