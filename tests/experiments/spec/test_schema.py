"""What is wrong in a spec, a scale or a setting ends in a message that names file, line, field and the nearest name."""

from __future__ import annotations

import pytest

from experiments.plan.build import DataInfo, build_plan
from experiments.spec.document import SpecError
from experiments.spec.resolve import parse_setting
from experiments.spec.schema import load_scale, load_spec, names
from experiments.spec.variants import variants_of

DATA = DataInfo("shapes", "0123456789abcdef", ("train", "val", "test"))
GOOD = """\
title: A title
question: A question?
preset: yolact_base
reference: fast
measure: [coco]
base:
  training.iterations: {toy: 10}
variants:
  fast: {}
  standard:
    set: {inference.suppression: standard}
paper:
  source: Table 2a
  values:
    fast: {mask_AP: 29.9}
"""

FAULTS = [
    ("title: A title", "titel: A title", ":1:", "did you mean 'title'?"),
    ("reference: fast", "reference: fats", ":4:", "unknown variant 'fats', did you mean 'fast'?"),
    ("preset: yolact_base", "preset: yolact_bse", ":3:", "did you mean 'yolact_base'?"),
    ("measure: [coco]", "measure: [cocoa]", ":5:", "did you mean 'coco'?"),
    ("measure: [coco]", "measure: coco", ":5:", "measure"),
    ("measure: [coco]", "seeds: [0, 0]\nmeasure: [coco]", ":5:", "different seeds"),
    ("measure: [coco]", "measure: [coco]\ntitle: again", ":6:", "duplicate key"),
    ("training.iterations: {toy: 10}", "training.iteratons: 10", ":7:", "did you mean 'iterations'?"),
    ("training.iterations: {toy: 10}", "training.iterations: ten", ":7:", "valid integer"),
    ("training.iterations: {toy: 10}", "training.iterations: 1.5", ":7:", "training.iterations"),
    ("training.iterations: {toy: 10}", "training.iterations: -1", ":7:", "greater than or equal to 0"),
    ("training.iterations: {toy: 10}", "training.iterations: {tyo: 10}", ":7:", "tyo"),
    ("training.iterations: {toy: 10}", "training.lr: 1\n  training: {lr: 2}", ":8:", "given twice"),
    ("training.iterations: {toy: 10}", "training: 10", ":7:", "is a group of fields"),
    ("inference.suppression: standard", "inference.suppression: standart", ":11:", "did you mean 'standard'?"),
    ("inference.suppression: standard", "model.mask_branch.kind: fc_msk", ":11:", "did you mean 'fc_mask'?"),
    ("inference.suppression: standard", "model.backbone.name: resnet99", ":11:", "unknown backbone 'resnet99'"),
    ("    set: {inf", "    sat: {inf", ":11:", "did you mean 'set'?"),
    ("fast: {mask_AP: 29.9}", "fsat: {mask_AP: 29.9}", ":15:", "unknown variant 'fsat', did you mean 'fast'?"),
    ("mask_AP: 29.9", "mask_PA: 29.9", ":15:", "did you mean 'mask_AP'?"),
    ("mask_AP: 29.9", "mask_AP: high", ":15:", "valid number"),
    ("measure: [coco]", "headline: [mask_AP59]\nmeasure: [coco]", ":5:", "did you mean 'mask_AP"),
    ("measure: [coco]", "data: {tyo: coco}\nmeasure: [coco]", ":5:", "unknown scale 'tyo', did you mean 'toy'?"),
    ("  standard:\n", "  standard:\n    scales: [tyo]\n", ":11:", "unknown scale 'tyo', did you mean 'toy'?"),
    ("paper:\n", "paper:\n  published: [{label: FCIS, values: {AP: 1}}]\n", ":13:", "unknown metric 'AP'"),
    ("variants:", "variants: [", ":", "spec.yaml"),
    ("base:", "grid: {model.mask_branch.k: 8}\nbase:", ":6:", "expected a list of values"),
    ("base:", "grid: {model.mask_branch.k: {tooy: [8]}}\nbase:", ":6:", "unknown scale 'tooy', did you mean 'toy'?"),
    ("base:", "grid: {model.mask_branch.k: {paper: [8]}}\nbase:", ":6:", "such a list for scale 'toy'"),
    ("reference: fast", "reference: crop=true\ngrid: {inference.corp: [true]}", ":5:", "did you mean 'crop'?"),
    ("title: A title", "title: [2026-11-20]", ":1:", "got ['2026-11-20']"),
]


def _plan(path, *settings, scale="toy"):
    return build_plan(load_spec(str(path)), load_scale(scale), DATA, settings=[parse_setting(text) for text in settings])


@pytest.fixture
def spec_file(tmp_path):
    def write(text=GOOD):
        path = tmp_path / "spec.yaml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(("old", "new", "line", "says"), FAULTS)
def test_fault_names_file_line_and_remedy(spec_file, old, new, line, says):
    assert old in GOOD
    path = spec_file(GOOD.replace(old, new, 1))
    with pytest.raises(SpecError) as caught:
        _plan(path)
    assert f"{path}{line}" in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("trainng.lr=1", "did you mean 'training'?"),
        ("training.lr=fast", "valid number"),
        ("training.lr", "expected field=value"),
        ("training.lr=[1", "not a YAML value"),
        ("training.lr=!!int x", "not a YAML value"),
        ("training.lr=2026-99-99", "valid number"),
        ("runtime.device=gpu", "'cpu' or 'cuda'"),
        ("evaluation.split=tset", "no split 'tset'"),
    ],
)
def test_fault_in_a_setting(spec_file, setting, says):
    with pytest.raises(SpecError, match=r"--set|evaluation\.split") as caught:
        _plan(spec_file(), setting)
    assert says in str(caught.value)


def test_unknown_names_are_suggested():
    with pytest.raises(SpecError, match="did you mean 'prototypes'"):
        load_spec("prototype")
    with pytest.raises(SpecError, match="did you mean 'small'"):
        load_scale("smal")
    with pytest.raises(SpecError, match="no such file"):
        load_spec("missing.yaml")


def test_unreadable_bytes_are_said(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"title: \xff\xfe")
    with pytest.raises(SpecError, match="cannot be read"):
        load_spec(str(path))


@pytest.mark.parametrize(
    ("text", "says"), [("# later\n", "found nothing"), ("- a\n", "found a list"), ("a", "found text"), ("5", "found one value")]
)
def test_a_file_that_is_no_mapping_is_refused(spec_file, text, says):
    with pytest.raises(SpecError, match=f":1: expected a mapping of fields .*, {says}$"):
        load_spec(str(spec_file(text)))


def test_a_folder_is_no_spec(tmp_path):
    (tmp_path / "spec.yaml").mkdir()
    with pytest.raises(SpecError, match="is a folder, not a file"):
        load_spec(str(tmp_path / "spec.yaml"))


def test_a_spec_without_variants_is_refused(spec_file):
    text = GOOD[: GOOD.index("variants:")].replace("base:", "base: {}\n#").replace("  training", "#")
    with pytest.raises(SpecError, match="needs `variants` or a `grid`"):
        load_spec(str(spec_file(text)))


def test_grid_makes_every_combination(spec_file):
    text = GOOD.replace("base:", "grid: {model.mask_branch.k: [2, 4], inference.crop: [true, false]}\nbase:")
    found = [v.name for v in variants_of(load_spec(str(spec_file(text))), load_scale("toy"))]
    assert found == ["fast", "standard", "k=2, crop=true", "k=2, crop=false", "k=4, crop=true", "k=4, crop=false"]


@pytest.mark.parametrize("spec", names("specs"))
@pytest.mark.parametrize("scale", names("scales"))
def test_shipped_specs_plan_at_every_scale(spec, scale):
    plan = _plan(spec, scale=scale)
    assert plan.stages
    assert plan.experiment["reference"] in plan.resolved
    if load_spec(spec).spec.paper:
        assert any(variant["paper"] for variant in plan.experiment["variants"])


# Paper table 2b
def test_paper_values_stand_beside_their_variants():
    variants = {v["name"]: v["paper"] for v in _plan("prototypes", scale="paper").experiment["variants"]}
    assert {name: paper["mask_AP"] for name, paper in variants.items() if name.startswith("k=")} == {
        "k=8": 26.8, "k=16": 27.1, "k=32": 27.7, "k=64": 27.8, "k=128": 27.6, "k=256": 27.7,
    }  # fmt: skip
