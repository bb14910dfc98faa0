"""What is wrong in a spec, a scale or a setting ends in a message that names file, line, field and the nearest name."""

from __future__ import annotations

import jsonschema
import pytest

from experiments.plan.build import DataInfo, build_plan
from experiments.spec import schema
from experiments.spec.at_scale import schema_at_scales
from experiments.spec.document import SpecError
from experiments.spec.resolve import parse_setting
from experiments.spec.schema import Spec, load_scale, load_spec, names
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
    (
        "training.iterations: {toy: 10}",
        "training.iterations: {tyo: 10}",
        ":7:",
        "training.iterations: no scale 'tyo', did you mean 'toy'?",
    ),
    ("training.iterations: {toy: 10}", "training.iterations: {toy: 10, toi: 9}", ":7:", "no scale 'toi', did you mean 'toy'?"),
    ("training.iterations: {toy: 10}", "training: {toy: {lr: 1}}", ":7:", "unknown field 'toy'"),
    ("training.iterations: {toy: 10}", "lr: 1", ":7:", "unknown field 'lr', did you mean 'training.lr'?"),
    ("reference: fast", "reference: {paper: fast}", ":4:", "reference: no value for scale 'toy'"),
    ("  fast: {}", "  fast: {preset: yolact_bse}", ":9:", "did you mean 'yolact_base'?"),
    ("  fast: {}", "  fast: {preset: {tyo: yolact_base}}", ":9:", "no scale 'tyo', did you mean 'toy'?"),
    ("  fast: {}", "  fast: {label: {toy: Fast, slow: Slow}}", ":9:", "no scale 'slow'"),
    ("  values:", "  rows: {fast: table2a.yolact-fsat}\n  values:", ":14:", "did you mean 'table2a.yolact-fast'?"),
    ("  values:", "  published_rows: [table1.fsic]\n  values:", ":14:", "did you mean 'table1.fcis'?"),
    ("  values:", "  metrics: [mask_PA]\n  values:", ":14:", "did you mean 'mask_AP'?"),
    ("base:", "grid:\n  training.batch_size: [8,\n    16, 8]\nbase:", ":8:", "training.batch_size: 8 is given twice"),
    ("base:", "grid: {training.lr: [1, 1.0]}\nbase:", ":6:", "training.lr: 1.0 is given twice"),
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
    ("measure: [coco]", "headline: [box_jiter]\nmeasure: [coco]", ":5:", "did you mean 'box_jitter'?"),
    ("measure: [coco]", "data: {tyo: coco}\nmeasure: [coco]", ":5:", "no scale 'tyo', did you mean 'toy'?"),
    ("  standard:\n", "  standard:\n    scales: [tyo]\n", ":11:", "unknown scale 'tyo', did you mean 'toy'?"),
    ("paper:\n", "paper:\n  published: [{label: FCIS, values: {AP: 1}}]\n", ":13:", "unknown metric 'AP'"),
    ("variants:", "variants: [", ":", "spec.yaml"),
    ("base:", "grid: {model.mask_branch.k: 8}\nbase:", ":6:", "valid array"),
    ("base:", "grid: {model.mask_branch.k: {tooy: [8]}}\nbase:", ":6:", "no scale 'tooy', did you mean 'toy'?"),
    ("base:", "grid: {model.mask_branch.k: {paper: [8]}}\nbase:", ":6:", "no value for scale 'toy'"),
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
        load_spec(str(spec_file(text))).at(load_scale("toy"))


def test_grid_makes_every_combination(spec_file):
    text = GOOD.replace("base:", "grid: {model.mask_branch.k: [2, 4], inference.crop: [true, false]}\nbase:")
    found = [v.name for v in variants_of(load_spec(str(spec_file(text))).at(load_scale("toy")))]
    assert found == ["fast", "standard", "k=2,crop=true", "k=2,crop=false", "k=4,crop=true", "k=4,crop=false"]


@pytest.mark.parametrize("spec", names("specs"))
@pytest.mark.parametrize("scale", names("scales"))
def test_shipped_specs_plan_at_every_scale(spec, scale):
    plan = _plan(spec, scale=scale)
    assert plan.stages
    assert plan.experiment["reference"] in plan.resolved
    if load_spec(spec).at(load_scale(scale)).spec.paper:
        assert any(variant["paper"] for variant in plan.experiment["variants"])


# Paper table 2b
def test_paper_values_stand_beside_their_variants():
    variants = {v["name"]: v["paper"] for v in _plan("prototypes", scale="paper").experiment["variants"]}
    assert {name: paper["mask_AP"] for name, paper in variants.items() if name.startswith("k=")} == {
        "k=8": 26.8, "k=16": 27.1, "k=32": 27.7, "k=64": 27.8, "k=128": 27.6, "k=256": 27.7,
    }  # fmt: skip


@pytest.mark.parametrize("spec", names("specs"))
def test_shipped_specs_fit_the_json_schema(spec):
    jsonschema.validate(load_spec(spec).document.data, schema_at_scales(Spec))


@pytest.mark.parametrize(
    ("old", "new"),
    [("reference: fast", "reference: 5"), ("reference: fast", "reference: {toy: 5}"), ("  fast: {}", "  fast: {lable: x}")],
)
def test_the_json_schema_refuses_what_planning_refuses(spec_file, old, new):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(load_spec(str(spec_file(GOOD.replace(old, new)))).document.data, schema_at_scales(Spec))


def test_a_new_scale_changes_no_reading(spec_file, monkeypatch):
    """Groups of fields stay groups, and variants variants, even if scales have their names."""
    path = spec_file(GOOD.replace("  training.iterations: {toy: 10}", "  training: {lr: 0.03}"))
    before = _plan(path)
    known = names("scales")
    monkeypatch.setattr(schema, "names", lambda room: [*known, "lr", "fast", "standard", "set", "mask_AP"])
    assert set(_plan(path).stages) == set(before.stages)


def test_values_per_scale_are_chosen_with_their_lines(spec_file):
    text = GOOD.replace("  fast: {}", "  fast:\n    preset:\n      toy: yolact_base\n      small: yolact_bse")
    path = spec_file(text)
    assert "fast" in _plan(path).resolved
    with pytest.raises(SpecError, match=rf"^{path}:12: .*'yolact_bse'"):
        _plan(path, scale="small")


def test_a_variant_may_have_its_own_preset(spec_file):
    text = GOOD.replace("  fast: {}", "  fast: {preset: {paper: yolact_development}}")
    for scale, changed in (("toy", False), ("paper", True)):
        plan = _plan(spec_file(text), scale=scale)
        assert (plan.resolved["fast"].config.model.loss.semantic == 0) == changed
        record = next(v for v in plan.experiment["variants"] if v["name"] == "fast")
        assert (record["changes"].get("model.loss.semantic") == 0) == changed


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        ("{model.fpn.channels: [8], model.mask_branch.channels: [4]}", "fpn.channels=8,mask_branch.channels=4"),
        ("{model.mask_branch.k: [8], training.lr: [0.001]}", "k=8,lr=0.001"),
        ("{training.milestones: [[0.5, 0.75]]}", "milestones=[0.5,0.75]"),
    ],
)
def test_grid_names_are_short_unique_and_without_blanks(spec_file, grid, expected):
    found = variants_of(load_spec(str(spec_file(GOOD.replace("base:", f"grid: {grid}\nbase:")))).at(load_scale("toy")))
    assert found[-1].name == expected


def test_names_with_commas_are_listed_one_per_line(spec_file):
    text = GOOD.replace("base:", "grid: {model.mask_branch.k: [2, 4], training.lr: [1]}\nbase:")
    with pytest.raises(SpecError, match="\n  k=2,lr=1\n  k=4,lr=1\n"):
        _plan(spec_file(text.replace("reference: fast", "reference: zzzzzzzz")))
