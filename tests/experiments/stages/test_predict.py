"""Predictions made together: the bytes of each made alone."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from experiments.datasets.find import find_dataset
from experiments.plan.build import DataInfo, build_plan
from experiments.run.attempt import attempt
from experiments.run.several import attempt_together
from experiments.spec.resolve import parse_setting
from experiments.spec.schema import load_scale, load_spec
from experiments.stages import predict as predict_stage
from experiments.stages.network import trained_model
from experiments.stages.table import KINDS
from experiments.store.folder import Store
from yolact.inference.predictor import Predictor
from yolact.models.layers.padding import padding_of

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
  mirrored: {set: {inference.intervention: {kind: padding, mode: reflect}}}
"""
SHARING = 7
"""Of these variants, those whose network is the same."""
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


def _sharing(plan):
    return [run.stages["predict"] for run in plan.runs][:SHARING]


def _digests(store, ids):
    return {stage_id: dict(store.stage(stage_id).status.digests) for stage_id in ids}


def test_bytes_are_those_of_each_alone(world):
    folder, plan = world
    ids = _sharing(plan)
    alone, together = _trained(folder / "alone", plan), _trained(folder / "together", plan)
    assert [attempt(alone, stage_id, KINDS, lambda: False) for stage_id in ids] == ["done"] * len(ids)
    assert attempt_together(together, ids, KINDS, lambda: False) == dict.fromkeys(ids, "done")
    assert _digests(alone, ids) == _digests(together, ids)
    assert len({files["detections.json"] for files in _digests(alone, ids).values()}) >= 4, "the variants do differ"
    statuses = [together.stage(stage_id).status for stage_id in ids]
    assert {status.shared["stages"] for status in statuses} == {len(ids)}
    assert all(status.wall_seconds > status.shared["seconds"] / len(ids) for status in statuses)


def test_one_variant_that_breaks_leaves_the_others_their_bytes(world, monkeypatch):
    folder, plan = world
    ids = _sharing(plan)
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
    ids = _sharing(plan)[:3]
    store = _trained(folder / "stopped", plan)
    assert attempt_together(store, ids, KINDS, lambda: True) == dict.fromkeys(ids, "interrupted")
    assert not any((store.stage_folder(stage_id) / "result").exists() for stage_id in ids)


def test_being_told_to_stop_in_between_leaves_nothing_behind(world, monkeypatch):
    folder, plan = world
    ids = _sharing(plan)[:3]
    store = _trained(folder / "between", plan)
    encoded = []
    monkeypatch.setattr(predict_stage, "to_records", lambda found, image_id, ids: encoded.append(image_id) or [])
    assert attempt_together(store, ids, KINDS, lambda: len(encoded) >= 4) == dict.fromkeys(ids, "interrupted")
    assert 4 <= len(encoded) <= 9, "in the second image, or the one that was looked at beside it"
    assert not any((store.stage_folder(stage_id) / "result").exists() for stage_id in ids)
    assert not [each.name for each in threading.enumerate() if each.name.startswith("ThreadPool")]
    monkeypatch.undo()
    assert attempt_together(store, ids, KINDS, lambda: False) == dict.fromkeys(ids, "done")


def test_the_network_goes_on_while_masks_are_encoded(world, monkeypatch):
    """The masks of each image but the last are held up until the network looks at the next."""
    folder, plan = world
    store, (stage_id, *_) = _trained(folder / "beside", plan), _sharing(plan)
    records, look = predict_stage.to_records, Predictor.encode
    looks = iter(looked := [threading.Event() for _ in range(4)])
    in_time = []

    def forward_pass(self, *rest):
        next(looks).set()
        return look(self, *rest)

    def to_records(found, image_id, category_ids):
        in_time.extend(each.wait(timeout=20) for each in looked[len(in_time) + 1 :][:1])
        return records(found, image_id, category_ids)

    monkeypatch.setattr(Predictor, "encode", forward_pass)
    monkeypatch.setattr(predict_stage, "to_records", to_records)
    assert attempt(store, stage_id, KINDS, lambda: False) == "done"
    assert in_time == [True] * 3


def test_an_error_in_the_last_masks_is_their_variants(world, monkeypatch):
    folder, plan = world
    store, (first, last, *_) = _trained(folder / "last", plan), _sharing(plan)
    records, seen = predict_stage.to_records, []

    def to_records(found, image_id, category_ids):
        seen.append(image_id)
        time.sleep(0.05 * (len(seen) == 8))  # the network has long ended
        if len(seen) == 8:
            raise OSError(5, "broken on purpose")
        return records(found, image_id, category_ids)

    monkeypatch.setattr(predict_stage, "to_records", to_records)
    assert attempt_together(store, [first, last], KINDS, lambda: False) == {first: "done", last: "failed"}


@pytest.mark.parametrize(("network", "encoding"), [(0.1, 0.02), (0.0, 0.1)])
def test_seconds_add_up_to_the_clock(world, monkeypatch, network, encoding):
    """Encoding beside the network is nobody's own time; where it is the slower one, it is waited for."""
    folder, plan = world
    store, ids = _trained(folder / f"clock {network}", plan), _sharing(plan)[:2]
    records, look, ended = predict_stage.to_records, Predictor.encode, []

    def slow(seconds, step):
        return lambda *arguments: time.sleep(seconds) or step(*arguments)

    def together(contexts):
        ended.extend(predict_stage_together(contexts))
        return ended

    predict_stage_together = predict_stage.predict_together
    monkeypatch.setattr(predict_stage, "to_records", slow(encoding, records))
    monkeypatch.setattr(Predictor, "encode", slow(network, look))
    monkeypatch.setattr(predict_stage, "predict_together", together)
    assert attempt_together(store, ids, KINDS, lambda: False) == dict.fromkeys(ids, "done")
    assert sum(each.own_seconds for each in ended) + ended[0].shared_seconds == pytest.approx(ended[0].seconds)
    waited = sum(each.own_seconds for each in ended)
    assert waited > 0.3 if encoding > network else ended[0].shared_seconds > 0.4


def test_padding_is_the_opened_networks(world):
    folder, plan = world
    store, mirrored = _trained(folder / "padded", plan), plan.runs[-1].stages
    for stage_id, padding in ((mirrored["predict"], "reflect"), (_sharing(plan)[0], "zeros")):
        fields = plan.stages[stage_id].content["fields"]
        opened = SimpleNamespace(inputs={"train": store.stage(mirrored["train"]).result}, device="cpu", fields=fields)
        assert padding_of(trained_model(opened)[0]) == padding
