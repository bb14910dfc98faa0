"""A measure from outside the package, given by import path: planned, run, and read as a metric."""

import json
import sys

import pytest
from click.testing import CliRunner

from analysis.results.experiment import load
from analysis.tables.writers import render
from experiments.cli.ask.diff import diff
from experiments.datasets.find import find_dataset
from experiments.plan.build import DataInfo, build_plan
from experiments.run.attempt import attempt
from experiments.spec.document import SpecError
from experiments.spec.resolve import parse_setting
from experiments.spec.schema import load_scale, load_spec
from experiments.stages.table import KINDS
from experiments.store.folder import Store
from yolact.measures import UnknownMeasure, declaration

SPEC = """
title: Found
question: How many?
reference: all
measure: [NAME:MEASURE]
headline: [found_per_image]
base: {training.iterations: 0, inference.score_threshold: 0.01, tally.images: 2}
variants:
  all: {}
  fewer: {set: {inference.max_detections: 2}}
"""
MODULE = """
from yolact.config.base import Config
from yolact.measures.declaration import File, Measure, Scalar


class TallyConfig(Config):
    images: int = 3


def measure(folder, look, config):
    import json

    from yolact.measures.context import steps

    split, found = look.split, 0
    for image_id in steps(look, split.image_ids[: config.images]):
        found += len(look.predictor.predict([split.image(image_id)], look.inference)[0])
    (folder / "summary.json").write_text(json.dumps({"per_image": found / config.images, "images": config.images}))


MEASURE = Measure(
    name="tally",
    config=TallyConfig,
    version=1,
    input="train",
    function=f"{__name__}:measure",
    title="How many detections there are",
    files=(File("summary.json", "Their number."),),
    scalars=(Scalar("found_per_image", "detections per image", "1", ("per_image",)),),
)
"""


@pytest.fixture
def module(tmp_path, monkeypatch, request):
    """The name of a module of this test's own, on the path."""
    name = f"outside_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)
    declaration.cache_clear()


def planned(folder, name, **replaced):
    text = SPEC.replace("NAME", name)
    for old, new in replaced.items():
        text = text.replace(old, new)
    (folder / "spec.yaml").write_text(text)
    (folder / "data.yaml").write_text("kind: shapes\nname: few\nshapes: {train: 4, val: 1, test: 4, image_size: 64}\n")
    place = str(folder / "data.yaml")
    dataset = find_dataset(place)
    data = DataInfo(dataset.name, dataset.id, dataset.splits)
    settings = [parse_setting("runtime.threads=1")]
    return build_plan(
        load_spec(str(folder / "spec.yaml")), load_scale("toy"), data, location=place, settings=settings, seeds=(0,)
    )


def test_it_is_run_and_its_scalar_reaches_table_and_diff(tmp_path, module):
    plan, store = planned(tmp_path, module), Store(tmp_path / "results")
    store.write_experiment(plan.experiment)
    for stage in plan.stages.values():
        store.write_stage(stage.id, stage.record)
    for stage_id in plan.stages:
        if not stage_id.startswith(("predict", "coco")):
            assert attempt(store, stage_id, KINDS, lambda: False) == "done", store.stage(stage_id).status.error
    tally = [run.stages["tally"] for run in plan.runs]
    assert json.loads((store.stage(tally[1]).result / "summary.json").read_text()) == {"per_image": 2.0, "images": 2}
    del sys.modules[module]  # tables need no import: the record describes the metric
    declaration.cache_clear()
    (tmp_path / f"{module}.py").unlink()
    text = render(load(store.root, "spec", "toy"), "text")
    assert "Detections per image" in text and "2.0 (ONE SEED)" in text
    compared = CliRunner().invoke(diff, ["spec-toy:all:0", "spec-toy:fewer:0", "--results", str(store.root)])
    assert "found_per_image: " in compared.output and "-> 2 (" in compared.output, compared.output


def test_its_source_is_part_of_the_id_and_a_change_before_the_run_is_refused(tmp_path, module):
    plan, store = planned(tmp_path, module), Store(tmp_path / "results")
    for stage in plan.stages.values():
        store.write_stage(stage.id, stage.record)
    (tmp_path / f"{module}.py").write_text(MODULE + "# changed\n")
    again = planned(tmp_path, module)
    kinds = ("train", "tally")
    (before, after) = ([one.runs[0].stages[kind] for kind in kinds] for one in (plan, again))
    assert before[0] == after[0] and before[1] != after[1]
    assert attempt(store, before[1], KINDS, lambda: False) == "failed"
    assert "has changed since the stage was planned" in store.stage(before[1]).status.error["message"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("NAME:MEASURE", "no_such.module", "spec.yaml:5: measure: .*can't be imported"),
        ("NAME:MEASURE", "json:loads", "spec.yaml:5: measure: .*json has no loads that is a"),
        ("[found_per_image]", "[found_per_imag]", "spec.yaml:6: headline: .*did you mean 'found_per_image'"),
        ("tally.images", "tally.image", "spec.yaml:7: tally.image: unknown field 'image', did you mean 'images'"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path, module, old, new, message):
    with pytest.raises(SpecError, match=message):
        planned(tmp_path, module, **{old.replace("NAME", module): new})


def test_a_taken_name_is_refused(tmp_path, module):
    (tmp_path / f"{module}.py").write_text(MODULE.replace('"tally"', '"leakage"'))
    with pytest.raises(SpecError, match=r"spec.yaml:5: measure: .*'leakage', a name that is taken"):
        planned(tmp_path, module)


def test_an_unknown_name_is_no_measure():
    with pytest.raises(UnknownMeasure, match="did you mean 'leakage'"):
        declaration("leekage")
