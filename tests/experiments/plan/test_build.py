"""Content ids, sharing between variants, seeds and specs, and reasons."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from experiments.plan.build import DataInfo, build_plan
from experiments.plan.explain import reasons
from experiments.plan.ids import stage_id
from experiments.spec.document import SpecError
from experiments.spec.resolve import parse_setting
from experiments.spec.schema import load_scale, load_spec
from experiments.store.durable import write_json
from experiments.store.folder import Store
from tests.support.paths import ROOT

DATA = DataInfo("shapes", "0123456789abcdef", ("train", "val", "test"))


def plan_for(spec="nms", *settings, scale="toy", seeds=(0,), data=DATA):
    parsed = [parse_setting(text) for text in settings]
    return build_plan(load_spec(spec), load_scale(scale), data, settings=parsed, seeds=seeds)


# printf '%s' '{"fields":{"a":null,"b":0.001},"kind":"train","version":1}' | sha256sum
@pytest.mark.parametrize(
    "content",
    [
        {"kind": "train", "version": 1, "fields": {"b": 1e-3, "a": None}},
        {"version": 1, "fields": {"a": None, "b": 0.001}, "kind": "train"},
    ],
)
def test_id_is_the_digest_of_canonical_json(content):
    assert stage_id(content) == "train-318933bfe9cfea1f"


def test_variants_that_differ_in_inference_share_one_training():
    plan = plan_for()
    assert len({run.stages["train"] for run in plan.runs}) == 2  # YOLACT and Mask R-CNN
    assert len({run.stages["predict"] for run in plan.runs}) == 6
    assert "+3" in plan.title(plan.runs[0].stages["train"])


def test_specs_share_stages():
    quickstart, nms = plan_for("quickstart"), plan_for("nms")
    baseline = next(run for run in quickstart.runs if run.variant == "baseline")
    fast = next(run for run in nms.runs if run.variant == "fast")
    assert {kind: baseline.stages[kind] for kind in fast.stages} == dict(fast.stages)


@pytest.mark.parametrize(
    ("splits", "says"), [(("val",), "no split 'train' to learn from"), (("train",), "neither a test nor a val")]
)
def test_data_without_a_needed_split_is_refused(splits, says):
    with pytest.raises(SpecError, match=says):
        plan_for(data=DataInfo("cells", "0123456789abcdef", splits))


@pytest.mark.parametrize(
    ("setting", "changed"),
    [
        ("training.lr=0.5", {"train", "predict", "coco", "speed"}),
        ("inference.nms_iou=0.6", {"predict", "coco", "speed"}),
        ("evaluation.split=val", {"predict", "coco", "speed"}),
        ("speed.repeats=7", {"speed"}),
        ("prototypes.images=7", set()),
        ("runtime.workers=2", set()),
        ("runtime.threads=2", {"train", "predict", "coco", "speed"}),
    ],
)
def test_a_field_changes_what_reads_it_and_nothing_else(setting, changed):
    before, after = plan_for().runs[0].stages, plan_for("nms", setting).runs[0].stages
    assert {kind for kind in before if before[kind] != after[kind]} == changed


def test_seed_and_data_enter_the_id_and_paths_do_not(tmp_path):
    first = plan_for().runs[0].stages["train"]
    assert first != plan_for(seeds=(1,)).runs[0].stages["train"]
    other = DataInfo("shapes", "f" * 16, DATA.splits)
    assert first != plan_for(data=other).runs[0].stages["train"]
    ids = set()
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_bytes(b"weights")
        plan = plan_for("nms", f"model.backbone.weights={tmp_path / name}")
        stage = plan.stages[plan.runs[0].stages["train"]]
        assert stage.location["files"] == {stage.content["fields"]["model"]["backbone"]["weights"]: str(tmp_path / name)}
        ids.add(stage.id)
    assert len(ids) == 1


def test_footage_enters_the_id_by_its_contents(tmp_path):
    ids = {}
    for name, frame in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(frame)
        plan = plan_for("stability", f"stability.source={tmp_path / name}")
        stage = plan.stages[plan.runs[0].stages["stability"]]
        assert stage.location["files"] == {stage.content["fields"]["stability"]["source"]: str(tmp_path / name)}
        ids[name] = stage.id
    assert ids["a"] == ids["b"] != ids["c"]
    assert ids["a"] != plan_for("stability").runs[0].stages["stability"]
    with pytest.raises(SpecError, match=r"stability\.source: no such file"):
        plan_for("stability", "stability.source=/missing.mp4")


def test_missing_weights_and_splits_are_said():
    with pytest.raises(SpecError, match="no such file"):
        plan_for("nms", "model.backbone.weights=/missing.pth")
    with pytest.raises(SpecError, match="neither a test nor a val split"):
        plan_for(data=DataInfo("mine", "0" * 16, ("train",)))


def test_reasons(tmp_path):
    store = Store(tmp_path)
    plan = plan_for()
    assert {reason.word for reason in reasons(plan, store).values()} == {"new"}
    store.write_experiment(plan.experiment)
    for stage in plan.stages.values():
        store.write_stage(stage.id, stage.record)
    run = plan.runs[0].stages
    states = {"train": "done", "predict": "failed", "coco": "running", "speed": "interrupted"}
    for kind, state in states.items():
        error = {"error": {"type": "X", "message": "it broke", "traceback": ""}} if state == "failed" else {}
        write_json(store.stage_folder(run[kind]) / "status.json", {"state": state, **error})
    words = {kind: reasons(plan, store)[run[kind]] for kind in states}
    assert {kind: reason.word for kind, reason in words.items()} == {
        "train": "cached", "predict": "failed", "coco": "interrupted", "speed": "interrupted",
    }  # fmt: skip
    assert words["predict"].detail == "it broke"
    changed = plan_for("nms", "training.lr=0.5")
    why = reasons(changed, store)
    assert why[changed.runs[0].stages["train"]].detail.endswith(" -> 0.5")
    assert why[changed.runs[0].stages["coco"]].detail == "its predict stage changed"


@pytest.mark.parametrize("setting", ["training.lr=0.5", "training.lr=0.5;seeds"])
def test_a_thousand_stages_are_planned_in_seconds(tmp_path, setting):
    """Also where every one of them has changed since the experiment was last run."""
    store = Store(tmp_path)
    first = plan_for("nms", seeds=range(100))
    store.write_experiment(first.experiment)
    for stage in first.stages.values():
        folder = store.stage_folder(stage.id)
        folder.mkdir(parents=True)
        (folder / "stage.json").write_text(json.dumps(stage.record))
    assert len(first.stages) >= 1000
    field, _, other = setting.partition(";")
    begun = time.process_time()
    plan = plan_for("nms", field, seeds=range(100, 200) if other else range(100))
    found = reasons(plan, store)
    assert time.process_time() - begun < 5
    assert {reason.word for reason in found.values()} == {"changed"}


def test_planning_imports_no_torch():
    code = (
        "import sys; from tests.experiments.plan.test_build import plan_for; plan_for('prototypes', scale='paper');"
        "import experiments.store.folder, experiments.launch.pool.pool, experiments.cli.progress, experiments.cli.main;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_field_at_its_default_leaves_the_id_alone_and_another_value_changes_it():
    from yolact.config import FCMaskConfig, NoMaskConfig, YolactConfig

    base = YolactConfig()
    assert base.essence() == {"kind": "yolact"}
    assert base.replace(padding="reflect").essence() == {"kind": "yolact", "padding": "reflect"}
    branches = [base.replace(mask_branch=branch).essence() for branch in (FCMaskConfig(), NoMaskConfig())]
    assert [found["mask_branch"] for found in branches] == [{"kind": "fc_mask"}, {"kind": "none"}]
    anchors = base.replace(anchors=base.anchors.replace(square=False)).essence()
    assert anchors == {"kind": "yolact", "anchors": {"square": False}}


def test_no_default_changes_unnoticed():
    """Ids hash what differs from the defaults, so a default that changes would give another result an old id.

    Give a field whose default must change a new name, or bump the version of every kind that reads it; then bring defaults.json
    up to date.
    """
    golden = json.loads((ROOT / "tests" / "experiments" / "defaults.json").read_text(encoding="utf-8"))
    found = {cls.__name__: cls.model_construct().model_dump(mode="json", warnings=False) for cls in _config_classes()}
    changed = {name: {f: found[name].get(f) for f in fields if found[name].get(f) != fields[f]}
               for name, fields in golden.items() if name in found}  # fmt: skip
    assert not {name: fields for name, fields in changed.items() if fields}
    missing = {name: sorted(fields.keys() - golden.get(name, {}).keys()) for name, fields in found.items()}
    assert not {name: fields for name, fields in missing.items() if fields}, "add the new fields to defaults.json"


def _config_classes():
    from experiments.spec.config import run_config
    from yolact.config.base import configs_in

    found, open_ = {}, [field.annotation for field in run_config().model_fields.values()]
    while open_:
        for cls in configs_in(open_.pop()):
            if cls.__name__ not in found:
                found[cls.__name__] = cls
                open_ += [field.annotation for field in cls.model_fields.values()]
    return [found[name] for name in sorted(found)]
