"""The order of resolution, replaced branches, stand-ins, scaled anchors, and where each field came from."""

from __future__ import annotations

import pytest

from experiments.spec.document import SpecError
from experiments.spec.resolve import parse_setting, resolve
from experiments.spec.schema import load_scale, load_spec
from experiments.spec.variants import variants_of
from yolact.config import CustomMaskConfig, CustomModelConfig, FCMaskConfig, MaskRCNNConfig
from yolact.config.presets import preset


def _resolve(spec, scale, variant, *settings):
    asked = load_spec(spec).at(load_scale(scale))
    chosen = next(v for v in variants_of(asked) if v.name == variant)
    return resolve(asked, chosen, [parse_setting(text) for text in settings])


@pytest.fixture
def layered(tmp_path):
    """A spec and a scale that both set lr and batch size."""
    (tmp_path / "size.yaml").write_text(
        "title: t\ndata: shapes\nseeds: [0]\nset: {training: {lr: 0.1, batch_size: 2, momentum: 0.5, gamma: 0.2}}\n"
    )
    (tmp_path / "spec.yaml").write_text(
        "title: t\nquestion: q\nreference: v\nbase: {training.lr: 0.2, training.batch_size: 3, training.momentum: 0.6}\n"
        "variants: {v: {set: {training.lr: 0.3, training.batch_size: 4}}}\n"
    )
    return str(tmp_path / "spec.yaml"), str(tmp_path / "size.yaml")


def test_later_layers_win(layered):
    found = _resolve(*layered, "v", "training.lr=0.4")
    training = found.config.training
    assert (training.lr, training.batch_size, training.momentum, training.gamma) == (0.4, 4, 0.6, 0.2)
    assert training.weight_decay == preset("yolact_base").training.weight_decay
    assert found.origins["training.lr"] == "--set"
    assert found.origins["training.batch_size"].startswith("variant v (")
    assert found.origins["training.momentum"].endswith("spec.yaml:4)")
    assert found.origins["training.gamma"].endswith("size.yaml:4)")
    assert found.origins["training.weight_decay"] == "preset yolact_base"


@pytest.mark.parametrize(
    ("spec", "variant", "name"), [("nms", "fast", "yolact_base"), ("prototypes", "k=32", "yolact_development")]
)
def test_paper_scale_leaves_the_preset_untouched(spec, variant, name):
    config = _resolve(spec, "paper", variant).config
    assert (config.model, config.training, config.inference) == (
        preset(name).model,
        preset(name).training,
        preset(name).inference,
    )


# anchors int-truncated from 24..384 at 550 px: reference-implementation.md, section 1.5
@pytest.mark.parametrize(
    ("variant", "size", "scales"),
    [
        ("smaller", 400, ((17,), (34,), (69,), (139,), (279,))),
        ("base", 550, ((24,), (48,), (96,), (192,), (384,))),
        ("larger", 700, ((30,), (61,), (122,), (244,), (488,))),
    ],
)
def test_anchors_follow_the_image_size(variant, size, scales):
    model = _resolve("image_size", "paper", variant).config.model
    assert model.image_size == size
    assert model.anchors.scales == scales


def test_anchors_given_with_an_image_size_stay_as_given():
    settings = ("model.image_size=200", "model.anchors.scales=[[5],[10],[20],[40],[80]]")
    model = _resolve("nms", "toy", "fast", *settings).config.model
    assert model.anchors.scales == ((5,), (10,), (20,), (40,), (80,))


# anchors that are kept are the base's: those of 400 px at the small scale, of 128 px at the toy scale
@pytest.mark.parametrize(("scale", "size", "first"), [("toy", 96, 22), ("small", 320, 17), ("paper", 400, 24)])
def test_a_variant_may_keep_the_base_anchors(scale, size, first):
    model = _resolve("image_size", scale, "smaller-base-anchors").config.model
    assert (model.image_size, model.anchors.scales[0]) == (size, (first,))
    assert _resolve("image_size", scale, "smaller").config.model.anchors.scales[0] < (first,)


def test_a_new_kind_replaces_its_branch_and_takes_the_scales_fields():
    model = _resolve("quickstart", "toy", "fc-mask").config.model
    assert isinstance(model.mask_branch, FCMaskConfig)
    assert model.mask_branch.loss_weight == FCMaskConfig().loss_weight
    other = _resolve("mask_methods", "toy", "mask-rcnn").config.model
    assert isinstance(other, MaskRCNNConfig)
    assert other.backbone.name == "resnet_tiny"
    assert other.backbone.weights is None
    assert other.image_size == 128


POINTS = {"suppression": "standard", "nms_iou": 0.6, "score_threshold": 0.2236}
ANCHORS = {"suppression": "fast", "nms_iou": 0.5, "score_threshold": 0.05}


@pytest.mark.parametrize(
    ("spec", "variant", "settings", "expected"),
    [
        pytest.param("crop", "cropped", ["model.kind=fcos"], POINTS, id="what the kind needs"),
        pytest.param("crop", "cropped", ["model.kind=fcos", "inference.nms_iou=0.7"], POINTS | {"nms_iou": 0.7}, id="command"),
        pytest.param("bridge", "fcos", [], POINTS, id="of a variant"),
        pytest.param("bridge", "fcos", ["model.kind=yolact"], ANCHORS, id="and leaves with it"),
        pytest.param("bridge", "fcos", ["model.kind=mask_rcnn"], ANCHORS | {"suppression": "standard"}, id="for another's"),
        pytest.param("nms", "fast", ["model.kind=fcos"], POINTS | {"suppression": "fast"}, id="a variant's own values stay"),
    ],
)
def test_a_kind_of_model_brings_its_inference(spec, variant, settings, expected):
    inference = _resolve(spec, "toy", variant, *settings).config.inference
    assert {name: getattr(inference, name) for name in expected} == expected


def test_an_import_path_replaces_its_branch_as_a_kind_does():
    settings = ("model.kind=lab.nets:Net", "model.options={depth: 3}")
    model = _resolve("crop", "toy", "cropped", *settings).config.model
    assert model == CustomModelConfig(kind="lab.nets:Net", image_size=128, options={"depth": 3})
    branch = _resolve("crop", "toy", "cropped", "model.mask_branch.kind=lab.masks:Branch").config.model.mask_branch
    assert branch == CustomMaskConfig(kind="lab.masks:Branch")


def test_stand_ins_are_named_and_spare_the_command_line():
    found = _resolve("nms", "toy", "fast")
    assert dict(found.stand_ins) == {"550": "128", "resnet101": "resnet_tiny"}
    kept = _resolve("nms", "toy", "fast", "model.backbone.name=resnet50")
    assert kept.config.model.backbone.name == "resnet50"


def test_settings_are_read_as_yaml():
    values = [parse_setting(f"x={text}").value for text in ("1e-3", "null", "[1, 2]", "no", "fast", "5_000")]
    assert values == [0.001, None, [1, 2], "no", "fast", 5000]


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        (("runtime.devices=3",), r"^--set runtime\.devices=3: "),
        (("runtime.devices=3", "training.batch_size=8"), r"^--set training\.batch_size=8: "),
        (("training.batch_size=8", "runtime.nodes=3"), r"^--set runtime\.nodes=3: "),
        (("runtime.devices=3", "training.lr=0.4"), r"^--set runtime\.devices=3: "),
    ],
)
def test_fields_at_odds_are_found_where_the_last_of_them_was_written(layered, settings, place):
    with pytest.raises(SpecError, match=place + r".*can't be split equally"):
        _resolve(*layered, "v", *settings)


def test_fields_at_odds_in_files_are_found_there(layered, tmp_path):
    size = tmp_path / "size.yaml"
    size.write_text(size.read_text().replace("set: {", "set: {runtime.devices: 3, "))
    with pytest.raises(SpecError, match=r"^\S*spec\.yaml:5: .*can't be split equally"):  # the variant's batch size
        _resolve(*layered, "v")


def test_null_removes_an_optional_group_and_a_field_of_it_brings_it_back():
    model = _resolve("yolact_plus", "paper", "plus").config.model
    assert model == preset("yolact_plus_base").model
    off = "model.backbone.deformable=null"
    assert _resolve("yolact_plus", "paper", "plus", off).config.model.backbone.deformable is None
    found = _resolve("yolact_plus", "paper", "anchors", "model.backbone.deformable.interval=2")
    assert (found.config.model.backbone.deformable.interval, found.config.model.mask_branch.rescoring) == (2, None)
    assert _resolve("yolact_plus", "paper", "yolact").config.model == preset("yolact_base").model
    with pytest.raises(SpecError, match=r"model\.fpn is a group of fields, got None"):
        _resolve("yolact_plus", "paper", "plus", "model.fpn=null")
    with pytest.raises(SpecError, match=r"weights is a value and holds no field 'x'"):
        _resolve("yolact_plus", "toy", "plus", "model.backbone.weights.x=1")
