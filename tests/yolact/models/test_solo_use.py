"""SOLO in use: engines, export, mixed precision, learning."""

import pytest
import torch

from tests.support.networks import TINY_DECOUPLED, TINY_SOLO, TINY_SOLOV2, predict, random_batch, target, tiny_model
from tests.yolact.models.test_solo import ALL, INFERENCE, drawn
from yolact.config import EngineConfig, TrainingConfig
from yolact.inference.engines import compiled as engine_module
from yolact.inference.export import ExportError, export_model
from yolact.inference.predictor import Predictor
from yolact.runtime.profiling import SectionClock, profiled
from yolact.training.loop import train

COMPILED = EngineConfig(kind="compiled")


def pictures():
    generator = torch.Generator().manual_seed(5)
    return [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in ((37, 53), (64, 30))]


@ALL
def test_the_forward_pass_is_compiled(config, monkeypatch):
    monkeypatch.setattr(engine_module, "compiled", lambda graph, inputs: graph)  # uncompiled: the same mathematics
    model = drawn(config)
    expected = predict(model, pictures(), INFERENCE)
    found = predict(model, pictures(), INFERENCE.replace(engine=COMPILED))
    for ours, theirs in zip(found, expected, strict=True):
        assert len(theirs) and torch.equal(ours.labels, theirs.labels)
        torch.testing.assert_close(ours.scores, theirs.scores, atol=1e-5, rtol=1e-4)
        assert (ours.masks != theirs.masks).sum() <= max(2, ours.masks.numel() / 10_000)
    assert Predictor(model, COMPILED).section_names == ("preprocess", "network", "nms", "assembly")


@pytest.mark.slow
def test_compiled_for_this_machine():
    model = drawn(TINY_SOLOV2)
    for ours, theirs in zip(
        predict(model, pictures(), INFERENCE.replace(engine=COMPILED)), predict(model, pictures(), INFERENCE), strict=True
    ):
        torch.testing.assert_close(ours.scores, theirs.scores, atol=1e-4, rtol=1e-3)


def test_export_is_refused(tmp_path):
    with pytest.raises(ExportError, match="Solo can't be exported"):
        export_model(tiny_model(TINY_SOLO), tmp_path / "net.onnx", "onnx")


@ALL
def test_sections(config):
    model, clock = drawn(config), SectionClock(torch.device("cpu"))
    with profiled(clock):
        predict(model, pictures(), INFERENCE)
    assert tuple(clock.take()) == model.section_names
    assert model.section_names == ("preprocess", "backbone", "fpn", "mask_features", "head", "nms", "assembly")


@ALL
def test_bf16(config):
    images, targets = random_batch(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model = tiny_model(config)
        terms = model.loss(images, model.assign(targets))
    plain = tiny_model(config).loss(images, model.assign(targets))
    for name, value in terms.items():
        assert value.dtype == torch.float32 and value.item() == pytest.approx(plain[name].item(), rel=0.05)


def rectangles(seed, side=64):
    """An image with one to three rectangles, red ones of class 0 and blue ones of class 1, and its target."""
    generator = torch.Generator().manual_seed(seed)
    count = 1 + seed % 3
    image = torch.rand(3, side, side, generator=generator) * 40
    boxes = []
    for number in range(count):  # side by side, so that none covers another
        width, height = torch.randint(14, side // count - 2 if count > 1 else 40, (2,), generator=generator).tolist()
        left = number * side // count + 1
        top = int(torch.randint(1, side - height, (1,), generator=generator))
        boxes.append([left, top, left + width, top + height])
        colour = torch.tensor([[220.0, 40, 40], [40, 80, 220]][number % 2])
        image[:, top : top + height, left : left + width] = colour[:, None, None]
    truth = target(boxes, [number % 2 for number in range(count)], size=side, image_id=seed)
    for mask, (x1, y1, x2, y2) in zip(truth.masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
    return image, truth


@pytest.mark.slow
def test_eight_images_are_learned():  # SOLO 10.10
    """Mask AP50 above .9 on what it is trained with: every object found first, by its class, above an IoU of one half."""
    config = TINY_DECOUPLED.replace(head=TINY_DECOUPLED.head.replace(convs=2, width=32), channels=32, mask_prior=0.3)
    model = tiny_model(config, num_classes=2)
    images, targets = zip(*(rectangles(seed) for seed in range(8)), strict=True)
    batch = torch.stack(images), list(targets)
    training = TrainingConfig(
        iterations=300, batch_size=8, lr=0.02, warmup_iterations=20, warmup_lr=1e-3, milestones=(0.8,), gradient_clip=35
    )
    train(model, lambda start: iter([batch] * training.iterations), training)
    found = predict(model, [image.round().byte() for image in images], INFERENCE)
    hits = [hit for each, truth in zip(found, targets, strict=True) for hit in recovered(each, truth)]
    assert sum(hits) >= 0.9 * len(hits)


def recovered(found, truth):
    """For each object, whether one of the best detections, as many as there are objects, is of its class and has its mask."""
    best = found[: len(truth.labels)]
    for label, mask in zip(truth.labels, truth.masks.bool(), strict=True):
        both = (best.masks & mask).sum(dim=(1, 2))
        either = (best.masks | mask).sum(dim=(1, 2))
        yield bool(((both / either > 0.5) & (best.labels == label)).any())
