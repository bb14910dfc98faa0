"""CondInst and BlendMask through the engines and export that YOLACT goes through."""

import pytest
import torch

from tests.support.networks import SIZE, TINY, TINY_POINTS, predict, random_batch, tiny_model
from yolact.config import BlendMaskConfig, InferenceConfig
from yolact.config.engine import EngineConfig
from yolact.inference.export import export_model, finish, output_names
from yolact.models.base import resize
from yolact.training.compile import compiled_loss

INFERENCE = InferenceConfig(suppression="standard", nms_iou=0.6, score_threshold=0.05, max_detections=20)


def image():
    return torch.randint(0, 256, (3, 50, 90), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


BLEND = TINY_POINTS.replace(mask_branch=BlendMaskConfig(bases=4, attention=4, resolution=8, channels=16, convs=0))
ANCHORS = TINY.replace(mask_branch=BLEND.mask_branch)
NETWORKS = [
    pytest.param(TINY_POINTS, id="condinst"),
    pytest.param(BLEND, id="blendmask", marks=pytest.mark.slow),
    pytest.param(ANCHORS, id="anchors with blend", marks=pytest.mark.slow),
]


def lively(config):
    """Weights that make scores differ, so that no order among equals is left open."""
    model = tiny_model(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.eval()


def same(found, expected):
    assert len(found) == len(expected) > 0
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.boxes, expected.boxes, atol=1e-2, rtol=1e-3)
    assert (found.masks == expected.masks).float().mean() > 0.999


@pytest.mark.parametrize("config", NETWORKS)
def test_the_compiled_engine_detects_what_the_eager_one_does(config):
    model = lively(config)
    (expected,) = predict(model, [image()], INFERENCE)
    (found,) = predict(model, [image()], INFERENCE.replace(engine=EngineConfig(kind="compiled")))
    same(found, expected)


OUTPUTS = {"mask_features": ((84, 169), (8, 8, 8)), "bases": ((84, 64), (4, 16, 16))}


@pytest.mark.parametrize("file_format", ["onnx", "torch"])
@pytest.mark.parametrize("config", NETWORKS[:2])
def test_an_exported_file_detects_what_the_model_does(tmp_path, file_format, config):
    model = lively(config)
    export_model(model, tmp_path / "net", file_format)
    pixels = resize(image(), SIZE)[None]
    if file_format == "onnx":
        onnxruntime = pytest.importorskip("onnxruntime")
        made = onnxruntime.InferenceSession(tmp_path / "net").run(None, {"image": pixels.numpy()})
    else:
        made = torch.export.load(tmp_path / "net").module()(pixels)
    outputs = dict(zip(output_names(model), made, strict=True))
    assert OUTPUTS[list(outputs)[-1]] == (outputs["mask_parameters"].shape, outputs[list(outputs)[-1]].shape)
    (expected,) = predict(model, [image()], INFERENCE)
    same(finish(outputs, (50, 90), config, INFERENCE), expected)


def test_a_compiled_step_has_the_same_loss():
    model = tiny_model(TINY_POINTS)
    images, targets = random_batch(0)
    assignment = model.assign(targets)
    expected = model.loss(images, assignment)
    made = compiled_loss(model, "cpu")(images, assignment)
    for name, value in expected.items():
        torch.testing.assert_close(made[name], value, atol=1e-4, rtol=1e-3)
