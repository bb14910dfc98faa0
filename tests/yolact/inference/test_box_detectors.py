"""YOLOv3, CenterNet and Mask2Former through engines and export."""

import pytest
import torch

from tests.support.networks import SIZE, TINY_CENTERNET, TINY_MASK2FORMER, TINY_YOLOV3, predict, tiny_model
from yolact.config import InferenceConfig
from yolact.config.engine import EngineConfig
from yolact.inference.engines.suppression import SuppressionGraph, suppression_settings
from yolact.inference.export import ExportError, export_model, finish, output_names
from yolact.inference.random_weights import settle
from yolact.models.base import resize

DETECTORS = pytest.mark.parametrize("config", [TINY_YOLOV3, TINY_CENTERNET], ids=["yolov3", "centernet"])


def image():
    return torch.randint(0, 256, (3, 50, 90), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def inference_of(config):
    return InferenceConfig(**config.inference_defaults).replace(max_detections=20)


def lively(config):
    """Weights that make scores differ, so that no order among equals is left open."""
    model = tiny_model(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)
    settle(model)
    return model.eval()


def same(found, expected):
    assert len(found) == len(expected) > 0
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.boxes, expected.boxes, atol=1e-2, rtol=1e-3)
    assert torch.equal(found.labels, expected.labels)


@pytest.mark.parametrize("file_format", [pytest.param("onnx", marks=pytest.mark.slow), "torch"])
@DETECTORS
def test_an_exported_file_detects_what_the_model_does(tmp_path, config, file_format):
    model = lively(config)
    export_model(model, tmp_path / "net", file_format)
    pixels = resize(image(), SIZE)[None]
    if file_format == "onnx":
        onnxruntime = pytest.importorskip("onnxruntime")
        made = onnxruntime.InferenceSession(tmp_path / "net").run(None, {"image": pixels.numpy()})
    else:
        made = torch.export.load(tmp_path / "net").module()(pixels)
    outputs = dict(zip(output_names(model), made, strict=True))
    assert set(outputs) == {"boxes", "probabilities"}
    (expected,) = predict(model, [image()], inference_of(config))
    same(finish(outputs, (50, 90), config, inference_of(config)), expected)


def test_the_graph_of_peaks_keeps_what_suppression_does():
    """The compiled engine's second graph, before it is compiled."""
    model = lively(TINY_CENTERNET)
    inference = inference_of(TINY_CENTERNET)
    dense = model(resize(image(), SIZE)[None]).dense
    graph = SuppressionGraph(model.head, suppression_settings(inference))
    boxes, scores, labels, locations = graph(dense.box[0], dense.logits[0], model.head.locations)
    kept = model.suppressed(*model.decoded(dense, 0), lambda at: dense.parameters[0, at], inference)
    there = scores >= 0
    assert torch.equal(boxes[there], kept.boxes) and torch.equal(labels[there], kept.labels)
    assert torch.equal(scores[there], kept.scores) and torch.equal(model.head.locations[locations[there]], kept.locations)


@pytest.mark.slow
def test_the_compiled_engine_detects_what_the_eager_one_does():
    """With suppression in a graph of its own; YOLOv3's path is that of the other detectors with greedy NMS."""
    model, inference = lively(TINY_CENTERNET), inference_of(TINY_CENTERNET)
    (expected,) = predict(model, [image()], inference)
    (found,) = predict(model, [image()], inference.replace(engine=EngineConfig(kind="compiled")))
    same(found, expected)


@pytest.mark.slow
def test_mask2former_compiles_too():
    pytest.importorskip("transformers")
    model = lively(TINY_MASK2FORMER)
    inference = inference_of(TINY_MASK2FORMER).replace(score_threshold=0.0)
    (expected,) = predict(model, [image()], inference)
    (found,) = predict(model, [image()], inference.replace(engine=EngineConfig(kind="compiled")))
    same(found, expected)
    assert (found.masks == expected.masks).float().mean() > 0.999


def test_mask2former_is_not_exported(tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises(ExportError, match="Mask2Former can't be exported: it has no dense head"):
        export_model(tiny_model(TINY_MASK2FORMER), tmp_path / "net", "torch")


@DETECTORS
def test_several_images_at_once(config):
    model = lively(config)
    pictures = [image(), image().flip(2)]
    together = predict(model, pictures, inference_of(config))
    for one, found in zip(pictures, together, strict=True):
        same(found, predict(model, [one], inference_of(config))[0])
