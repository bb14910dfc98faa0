"""Several specs planned as one, and what a measured throughput says about them."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from experiments.plan.build import DataInfo, build_plan
from experiments.plan.throughput import hours, known, measured
from experiments.plan.union import together
from experiments.spec.schema import load_scale, load_spec, names
from experiments.store.durable import write_json
from experiments.store.folder import Store

DATA = DataInfo("shapes", "0" * 16, ("train", "val", "test"))


def plan_of(spec, scale="toy", seeds=(0,)):
    return build_plan(load_spec(spec), load_scale(scale), DATA, seeds=seeds)


def training(store, stage, seconds_per_iteration=0.5, steps=5, state="done"):
    """Record a training whose log has a step every ten iterations; one interval is an interruption."""
    store.write_stage(stage.id, stage.record)
    folder = store.stage_folder(stage.id)
    write_json(folder / "status.json", {"state": state, "finished": "2026-11-20T09:00:00+00:00"})
    write_json(folder / "env.json", {"device_name": "A GPU"})
    moments = [10 * n * seconds_per_iteration + (3 if n > 2 else 0) for n in range(1, steps + 1)]
    lines = [
        {"time": f"2026-11-20T08:00:{s:06.3f}+00:00", "event": "step", "iteration": 10 * (n + 1)} for n, s in enumerate(moments)
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_every_stage_stands_once_and_after_its_inputs():
    plans = [plan_of(spec) for spec in names("specs")]
    whole = together(plans)
    assert set(whole.stages) == {stage_id for plan in plans for stage_id in plan.stages}
    assert len(whole.stages) < sum(len(plan.stages) for plan in plans)
    seen = set()
    for stage in whole.stages.values():
        assert set(stage.inputs) <= seen
        seen.add(stage.id)
    assert len(whole.runs) == sum(len(plan.runs) for plan in plans)
    assert {"nms: fast", "crop: cropped"} <= set(whole.resolved)
    assert whole.title(whole.runs[0].stages["train"]).startswith("activations: relu-tanh +")


def test_throughput_is_the_median_interval_and_holds_for_the_same_network_alone(tmp_path):
    store = Store(tmp_path)
    long, other = plan_of("nms"), plan_of("main")
    stage = long.stages[long.runs[0].stages["train"]]
    training(store, stage)
    found = known(store, tmp_path / "none")
    assert [one.seconds_per_iteration for one in found] == [pytest.approx(0.5)]
    assert stage.id in found[0].citation
    assert "A GPU" in found[0].citation
    taken = {run.variant: hours(other.stages[run.stages["train"]].content, found) for run in other.runs}
    assert taken["yolact-550"][0] == pytest.approx(2000 * 0.5 / 3600)
    assert taken["yolact-400"] is taken["r50"] is None
    second = plan_of("main", seeds=(1,))
    assert hours(second.stages[second.runs[0].stages["train"]].content, found) is not None


@pytest.mark.parametrize("kept", [{"state": "failed"}, {"steps": 3}])
def test_what_failed_or_was_too_short_measures_nothing(tmp_path, kept):
    store, plan = Store(tmp_path), plan_of("sbd")
    training(store, plan.stages[plan.runs[0].stages["train"]], **kept)
    assert list(measured(store)) == []


def test_committed_measurements_are_read_and_older_ones_lack_newer_fields(tmp_path):
    store, plan = Store(tmp_path / "results"), plan_of("sbd")
    stage = plan.stages[plan.runs[0].stages["train"]]
    training(store, stage)
    row = asdict(next(measured(store)))
    del row["fields"]["model.fpn.extra_from"]
    (tmp_path / "reference" / "gpu").mkdir(parents=True)
    (tmp_path / "reference" / "gpu" / "throughput.json").write_text(json.dumps([row]))
    found = known(Store(tmp_path / "empty"), tmp_path / "reference")
    assert hours(stage.content, found)[1].stage == stage.id
