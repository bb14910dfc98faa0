"""Several specs planned as one, and what a measured throughput says about them."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from experiments.plan.build import DataInfo, build_plan
from experiments.plan.estimate import Estimates
from experiments.plan.measured import Throughputs, measured
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


def train_of(plan):
    return plan.stages[plan.runs[0].stages["train"]]


def test_throughput_is_the_median_interval_and_holds_for_the_same_network_alone(tmp_path):
    store = Store(tmp_path)
    long, other = plan_of("nms"), plan_of("main")
    stage = train_of(long)
    training(store, stage)
    found = Throughputs(store.records(), tmp_path / "none")
    one = found.of(stage.content)
    assert one.seconds_per_iteration == pytest.approx(0.5)
    assert stage.id in one.citation
    assert "A GPU" in one.citation
    fitting = {run.variant: found.of(other.stages[run.stages["train"]].content) for run in other.runs}
    assert fitting["yolact-550"] is one
    assert fitting["yolact-400"] is fitting["r50"] is None
    assert found.of(train_of(plan_of("main", seeds=(1,))).content) is one
    assert Estimates(store, long.stages).of(stage).seconds == pytest.approx(2000 * 0.5)
    threads = {**stage.content, "threads": 7}
    assert found.of(threads) is None, "on a processor, its threads count"


@pytest.mark.parametrize("kept", [{"state": "failed"}, {"steps": 3}])
def test_what_failed_or_was_too_short_measures_nothing(tmp_path, kept):
    store, plan = Store(tmp_path), plan_of("sbd")
    training(store, train_of(plan), **kept)
    assert measured(store) == []


def test_committed_measurements_are_read_and_older_ones_lack_newer_fields(tmp_path):
    store, plan = Store(tmp_path / "results"), plan_of("sbd")
    stage = train_of(plan)
    training(store, stage)
    row = asdict(measured(store)[0])
    del row["fields"]["model.fpn.extra_from"]
    (tmp_path / "reference" / "gpu").mkdir(parents=True)
    (tmp_path / "reference" / "gpu" / "throughput.json").write_text(json.dumps([row]))
    assert Throughputs([], tmp_path / "reference").of(stage.content).stage == stage.id
