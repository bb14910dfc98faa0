"""Predictions made together: the bytes of each made alone."""

from __future__ import annotations

import pytest

from experiments.attempt import attempt
from experiments.datasets import find_dataset
from experiments.kinds import KINDS
from experiments.plan import DataInfo, build_plan
from experiments.resolve import parse_setting
from experiments.shared_attempt import attempt_together
from experiments.spec import load_scale, load_spec
from experiments.store import Store

SPEC = """\
title: predictions
question: Do they come out the same?
preset: yolact_base
reference: base
measure: [coco]
variants:
  base: {}
  standard: {set: {inference.suppression: standard}}
  uncropped: {set: {inference.crop: false}}
  noise: {set: {inference.intervention: {kind: noise, std: 0.2}}}
  keep: {set: {inference.intervention: {kind: keep, m: 4}}}
  project: {set: {inference.intervention: {kind: project, m: 4}}}
  oracle: {set: {inference.intervention: {kind: oracle, part: masks}}}
"""
SETTINGS = ("training.iterations=0", "inference.score_threshold=0.01", "inference.max_detections=5")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(folder, plan) of an untrained network and its variants on four images."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "spec.yaml").write_text(SPEC)
    (folder / "data.yaml").write_text("kind: shapes\nname: few\nshapes: {train: 4, val: 1, test: 4, image_size: 64}\n")
    place = str(folder / "data.yaml")
    dataset = find_dataset(place)
    data = DataInfo(dataset.name, dataset.id, dataset.splits)
    settings = [parse_setting(text) for text in SETTINGS]
    spec, scale = load_spec(str(folder / "spec.yaml")), load_scale("toy")
    plan = build_plan(spec, scale, data, location=place, settings=settings, seeds=(0,))
    return folder, plan


def _trained(root, plan):
    store = Store(root)
    for stage in plan.stages.values():
        store.write_stage(stage.id, stage.record)
    train = plan.runs[0].stages["train"]
    assert attempt(store, train, KINDS, lambda: False) == "done", store.stage(train).status.error
    return store


def _digests(store, ids):
    return {stage_id: dict(store.stage(stage_id).status.digests) for stage_id in ids}


def test_bytes_are_those_of_each_alone(world):
    folder, plan = world
    ids = [run.stages["predict"] for run in plan.runs]
    alone, together = _trained(folder / "alone", plan), _trained(folder / "together", plan)
    assert [attempt(alone, stage_id, KINDS, lambda: False) for stage_id in ids] == ["done"] * len(ids)
    assert attempt_together(together, ids, KINDS, lambda: False) == dict.fromkeys(ids, "done")
    assert _digests(alone, ids) == _digests(together, ids)
    assert len({files["detections.json"] for files in _digests(alone, ids).values()}) >= 4, "the variants do differ"
    statuses = [together.stage(stage_id).status for stage_id in ids]
    assert {status.shared["stages"] for status in statuses} == {len(ids)}
    assert all(status.wall_seconds > status.shared["seconds"] / len(ids) for status in statuses)


def test_one_variant_that_breaks_leaves_the_others_their_bytes(world, monkeypatch):
    from experiments import predict_stage

    folder, plan = world
    ids = [run.stages["predict"] for run in plan.runs]
    store, records = _trained(folder / "breaking", plan), predict_stage.to_records
    victim, seen = plan.runs[1].stages["predict"], []

    def to_records(found, image_id, category_ids):
        seen.append(image_id)
        if len(seen) == len(ids) + 2:  # the second variant, in its second image
            raise OSError(5, "broken on purpose")
        return records(found, image_id, category_ids)

    monkeypatch.setattr(predict_stage, "to_records", to_records)
    states = attempt_together(store, ids, KINDS, lambda: False)
    assert states == {**dict.fromkeys(ids, "done"), victim: "failed"}
    assert store.stage(victim).status.error["message"] == "broken on purpose"
    monkeypatch.undo()
    assert attempt(store, victim, KINDS, lambda: False) == "done"
    other = Store(folder / "alone")
    if other.has(victim) and other.state(victim) == "done":
        assert _digests(store, ids) == _digests(other, ids)


def test_being_told_to_stop_interrupts_all(world):
    folder, plan = world
    ids = [run.stages["predict"] for run in plan.runs][:3]
    store = _trained(folder / "stopped", plan)
    assert attempt_together(store, ids, KINDS, lambda: True) == dict.fromkeys(ids, "interrupted")
    assert not any((store.stage_folder(stage_id) / "result").exists() for stage_id in ids)
