"""Exported files compute what the network computes, and `finish` makes of it what `predict` makes."""

import json
import sys

import numpy as np
import pytest
import torch

from tests.support.networks import SIZE, TINY, TINY_FC_MASK, TINY_PLUS, TINY_POINTS, predict, tiny_model
from tests.support.paths import ROOT
from tests.test_docs import blocks
from yolact.config import BackboneConfig, InferenceConfig, MaskRCNNConfig, NoMaskConfig, YolactConfig
from yolact.config.presets import preset
from yolact.inference import export
from yolact.inference.export import ABOUT, TOLERANCE, ExportError, export_model, finish
from yolact.models.base import resize
from yolact.models.build import build_model
from yolact.ops.anchors import level_sizes

DEFORMABLE = TINY.replace(backbone=TINY_PLUS.backbone)
OUTPUTS = ("boxes", "probabilities", "mask_parameters", "prototypes")
CONFIGS = {"prototypes, pixels 0..1": TINY.replace(pixels="unit"), "fc_mask": TINY_FC_MASK, "deformable": DEFORMABLE}
MASK_RCNN = MaskRCNNConfig(image_size=SIZE, backbone=BackboneConfig(name="resnet_tiny", weights=None, width=4))
ANCHORS = 258
CLASSES = 3


def image(seed=3, height=50, width=90):
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def run_onnx(path, pixels):
    """({name: array}, what the file says about itself), by onnxruntime alone."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map[ABOUT])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, {"image": pixels.numpy()}), strict=True)), about


def run_torch(path, pixels):
    extra = {ABOUT: ""}
    program = torch.export.load(path, extra_files=extra).module()
    return dict(zip(OUTPUTS, program(pixels), strict=False)), json.loads(extra[ABOUT])


FORMATS = {"onnx": (run_onnx, "net.onnx"), "torch": (run_torch, "net.pt2")}


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_file_gives_the_networks_detections(tmp_path, config, file_format):
    run, name = FORMATS[file_format]
    model = tiny_model(config).eval()
    differences = export_model(model, tmp_path / name, file_format, [5, 9, 90], ["disc", "star", "ring"])
    assert max(differences.values()) <= TOLERANCE[file_format]
    assert [path.name for path in tmp_path.iterdir()] == [name]

    original = image()
    outputs, about = run(tmp_path / name, resize(original, SIZE)[None])
    assert YolactConfig.from_data(about["model"]) == config
    assert (about["num_classes"], about["category_ids"], about["class_names"]) == (3, [5, 9, 90], ["disc", "star", "ring"])
    with torch.no_grad():
        raw = model(resize(original, SIZE)[None])
    shapes = {"boxes": (ANCHORS, 4), "probabilities": (ANCHORS, CLASSES), "mask_parameters": raw.dense.parameters.shape[1:]}
    shapes |= {"prototypes": raw.context[0].shape[1:]} if raw.context else {}
    assert {name: tuple(array.shape) for name, array in outputs.items()} == shapes
    close = {"rtol": 0, "atol": TOLERANCE[file_format]}
    np.testing.assert_allclose(outputs["mask_parameters"], raw.dense.parameters[0], **close)
    np.testing.assert_allclose(outputs["probabilities"], raw.dense.logits[0].softmax(-1)[:, 1:], **close)

    inference = InferenceConfig(score_threshold=0.01)
    (expected,) = predict(model, [original], inference)
    found = finish(outputs, (50, 90), config, inference)
    assert len(expected) > 10
    assert torch.equal(found.labels, expected.labels)
    torch.testing.assert_close(found.boxes, expected.boxes, rtol=0, atol=1e-3)
    torch.testing.assert_close(found.scores, expected.scores, rtol=0, atol=1e-5)
    assert (found.masks != expected.masks).float().mean() < 1e-4


@pytest.mark.parametrize(
    "fields", [{"whole_pixel_boxes": True}, {"masks": False}, {"crop": False}, {"suppression": "traditional"}], ids=str
)
def test_finishing_honours_the_settings_of_inference(tmp_path, fields):
    model, original = tiny_model().eval(), image()
    export_model(model, tmp_path / "net.pt2", "torch")
    outputs, _ = run_torch(tmp_path / "net.pt2", resize(original, SIZE)[None])
    inference = InferenceConfig(score_threshold=0.01, **fields)
    found, (expected,) = finish(outputs, (50, 90), TINY, inference), predict(model, [original], inference)
    assert len(expected) and torch.equal(found.labels, expected.labels)
    torch.testing.assert_close(found.boxes, expected.boxes, rtol=0, atol=0 if "whole_pixel_boxes" in fields else 1e-3)
    assert (found.masks is None) == (expected.masks is None)
    if expected.masks is not None:
        assert (found.masks != expected.masks).float().mean() < 1e-4


def test_a_detector_of_boxes_only_is_exported(tmp_path):
    config = TINY.replace(mask_branch=NoMaskConfig())
    model, original = tiny_model(config).eval(), image()
    assert list(export_model(model, tmp_path / "net.pt2", "torch")) == ["boxes", "probabilities"]
    outputs, _ = run_torch(tmp_path / "net.pt2", resize(original, SIZE)[None])
    (expected,) = predict(model, [original], InferenceConfig())
    found = finish(outputs, (50, 90), config)
    torch.testing.assert_close(found.boxes, expected.boxes, rtol=0, atol=1e-3)
    assert found.masks is None


@pytest.mark.parametrize("config", [TINY, TINY_POINTS], ids=["anchors", "points"])
def test_locations_are_real_in_a_model_without_weights(config):
    with torch.device("meta"):
        made = tiny_model(config)
    assert made.head.box.weight.device.type == "meta"
    assert torch.equal(made.head.locations, tiny_model(config).head.locations)


def test_a_model_without_fixed_locations_is_refused(tmp_path):
    with pytest.raises(ExportError, match="MaskRCNN can't be exported"):
        export_model(build_model(MASK_RCNN, 3), tmp_path / "net.pt2", "torch")


def test_exporting_leaves_the_model_as_it_was(tmp_path):
    model = tiny_model().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    export_model(model, tmp_path / "net.pt2", "torch")
    assert model.training and model.semantic is not None
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.isfinite(model.head.locations).all(), "not a stand-in from the capture"


def test_weights_that_the_graph_does_not_read_stay_out_and_re_scoring_is_refused(tmp_path):
    model, original = tiny_model(TINY_PLUS).eval(), image()
    export_model(model, tmp_path / "net.pt2", "torch")
    names = torch.export.load(tmp_path / "net.pt2").state_dict
    assert names and not [name for name in names if "semantic" in name or "rescoring" in name]
    outputs, _ = run_torch(tmp_path / "net.pt2", resize(original, SIZE)[None])
    with pytest.raises(ExportError, match=r"set inference\.rescore_masks to false"):
        finish(outputs, (50, 90), TINY_PLUS)
    inference = InferenceConfig(score_threshold=0.01, rescore_masks=False)
    found, (expected,) = finish(outputs, (50, 90), TINY_PLUS, inference), predict(model, [original], inference)
    assert torch.equal(found.labels, expected.labels) and found.mask_scores is None
    assert finish(outputs, (50, 90), TINY_PLUS, InferenceConfig(masks=False)).masks is None


@pytest.mark.parametrize("library", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_library_is_named_and_the_old_file_stays(tmp_path, monkeypatch, library):
    (tmp_path / "net.onnx").write_text("old")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ExportError, match=rf"need {library} .*yolact-workbench\[export\]"):
        export_model(tiny_model(), tmp_path / "net.onnx", "onnx")
    assert (tmp_path / "net.onnx").read_text() == "old"


def test_outputs_that_are_not_finite_are_refused(tmp_path):
    model = tiny_model()
    torch.nn.init.constant_(model.head.box.bias, 1e30)
    with pytest.raises(ExportError, match="not finite"):
        export_model(model, tmp_path / "net.pt2", "torch")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("off_by", "passes"), [(1e-5, True), (1e-3, False), (np.nan, False)])
def test_a_file_that_computes_something_else_is_refused(tmp_path, monkeypatch, off_by, passes):
    write, run = export._FORMATS["torch"]
    spoilt = (write, lambda path, pixels: [output + off_by for output in run(path, pixels)])
    monkeypatch.setitem(export._FORMATS, "torch", spoilt)
    monkeypatch.setitem(export.TOLERANCE, "torch", 1e-4)
    (tmp_path / "net.pt2").write_text("old")
    if passes:
        export_model(tiny_model(), tmp_path / "net.pt2", "torch")
        assert (tmp_path / "net.pt2").read_bytes() != b"old"
    else:
        with pytest.raises(ExportError, match="the exported boxes are off by"):
            export_model(tiny_model(), tmp_path / "net.pt2", "torch")
        assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_the_page_on_export_runs(tmp_path, monkeypatch):
    page = ROOT / "docs" / "export.md"
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    namespace = {"__name__": "export"}
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), namespace)
    assert {path.name for path in tmp_path.iterdir()} == {"net.onnx", "net.pt2"}


def test_the_page_gives_the_sizes_of_the_base_network():
    config = preset("yolact_base").model
    anchors = sum(rows * columns * config.anchors.per_cell for rows, columns in level_sizes(550, 5))
    assert f"P is {anchors:,}" in (ROOT / "docs" / "export.md").read_text()
