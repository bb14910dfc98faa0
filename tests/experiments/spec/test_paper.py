"""The paper's tables as specs: complete, with the printed numbers, sharing every training that two rows have in common."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import pytest

from experiments.plan.build import DataInfo, build_plan
from experiments.spec.paper import paper
from experiments.spec.resolve import resolve
from experiments.spec.schema import load_scale, load_spec, names
from experiments.spec.variants import data_of, variants_of

SPECS = ("main", "nms", "prototypes", "mask_methods", "sbd", "boxes", "activations", "crop", "semantic_loss", "mask_quality",
         "backbones", "image_size", "quirks")  # fmt: skip


@cache
def plan_of(spec, scale):
    loaded, size = load_spec(spec), load_scale(scale)
    data = DataInfo(data_of(loaded.at(size)), "0" * 16, ("train", "val"))
    return build_plan(loaded, size, data, seeds=(0,))


def trainings(spec, scale):
    return {run.variant: run.stages["train"] for run in plan_of(spec, scale).runs}


def test_every_table_has_its_spec():
    assert set(SPECS) <= set(names("specs"))


# how many networks all specs together train, for one seed; a new spec or variant that trains changes it knowingly
@pytest.mark.parametrize(("scale", "distinct"), [("toy", 114), ("small", 115), ("paper", 133)])
def test_trainings_are_shared_between_specs(scale, distinct):
    assert len({stage for spec in names("specs") for stage in trainings(spec, scale).values()}) == distinct


@pytest.mark.parametrize("scale", names("scales"))
@pytest.mark.parametrize(
    ("first", "variant", "second", "other"),
    [
        ("main", "yolact-550", "nms", "fast"),
        ("main", "yolact-550", "quirks", "official"),
        ("main", "yolact-550", "boxes", "yolact-550"),
        ("main", "yolact-550", "crop", "cropped"),
        ("main", "yolact-550", "semantic_loss", "with"),
        ("main", "yolact-550", "prototypes", "final-32"),
        ("main", "yolact-700", "image_size", "larger"),
        ("main", "yolact-400", "boxes", "yolact-400"),
        ("nms", "mask-rcnn-fast", "mask_quality", "mask-rcnn"),
        ("mask_methods", "yolact", "activations", "relu-tanh"),
    ],
)
def test_rows_that_coincide_are_one_training(scale, first, variant, second, other):
    assert trainings(first, scale)[variant] == trainings(second, scale)[other]


@pytest.mark.parametrize("scale", names("scales"))
def test_the_methods_of_table_2c_get_one_budget(scale):
    asked = load_spec("mask_methods").at(load_scale(scale))
    found = [resolve(asked, variant).config for variant in variants_of(asked)]
    assert len({config.training.model_dump_json() for config in found}) == 1
    assert len({config.model.image_size for config in found}) == 1


def test_rows_of_one_spec_are_different_runs():
    for scale in names("scales"):
        for spec in names("specs"):
            runs = [tuple(run.stages.values()) for run in plan_of(spec, scale).runs]
            assert len(set(runs)) == len(runs), f"{spec} at {scale}"


def test_every_printed_number_is_the_papers():
    """Row by row against a copy of the paper's tables (arXiv 1904.02689), both ways."""
    with (Path(__file__).parent / "paper.csv").open(encoding="utf-8", newline="") as file:
        expected = {(row["table"], row["row"], row["metric"]): float(row["value"]) for row in csv.DictReader(file)}
    found = {
        (table, row, metric): value
        for table, printed in paper().tables.items()
        for row, content in printed.rows.items()
        for metric, value in content.values.items()
    }
    assert found == expected


@pytest.mark.parametrize(
    ("spec", "variant", "values"),
    [
        ("image_size", "larger", {"box_AP75": 35.9, "fps": 23.4}),  # table 4's boxes, table 1's time
        ("boxes", "with-masks", {"box_AP": 32.3, "fps": 33.5, "latency_ms": 29.8}),
        ("boxes", "yolact-400", {"box_AP": 28.4, "latency_ms": 18.04}),
        ("main", "plus-r50", {"mask_AP": 34.1, "fps": 33.5}),
        ("yolact_plus", "deformable-4", {"mask_AP": 33.0}),
        ("mask_quality", "yolact", {"mask_AP": 29.8, "mask_AP95": 1.6}),
        ("semantic_loss", "without", {"mask_AP": 29.5}),  # derived, in no row
    ],
)
def test_rows_are_joined(spec, variant, values):
    found = next(v["paper"] for v in plan_of(spec, "paper").experiment["variants"] if v["name"] == variant)
    assert values.items() <= found.items()


@pytest.mark.parametrize(("spec", "metrics"), [("backbones", {"mask_AP", "fps", "latency_ms"}), ("semantic_loss", {"mask_AP"})])
def test_only_the_metrics_named_are_taken(spec, metrics):
    assert {name for v in plan_of(spec, "paper").experiment["variants"] for name in v["paper"]} == metrics


@pytest.mark.parametrize(("spec", "rows"), [("sbd", 1)])
def test_other_methods_are_recorded_as_published(spec, rows):
    published = plan_of(spec, "toy").experiment["published"]
    assert len(published) == rows
    assert all(set(row) == {"label", "source", "values"} and row["label"] for row in published)
    assert all(row["source"].endswith("second-hand") for row in published)


def test_the_uncropped_loss_has_its_weight():
    asked = load_spec("crop").at(load_scale("paper"))
    branch = {v.name: resolve(asked, v).config.model.mask_branch for v in variants_of(asked)}
    assert (branch["trained-uncropped"].crop_in_loss, branch["trained-uncropped"].loss_weight) == (False, 30.625)
    assert (branch["cropped"].crop_in_loss, branch["cropped"].loss_weight) == (True, 6.125)
