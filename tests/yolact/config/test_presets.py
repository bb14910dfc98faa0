"""Every published configuration at its full size: one step of training, one image."""

from __future__ import annotations

import pytest
import torch

from tests.support.networks import predict
from yolact.config import FasterRCNNConfig, NoMaskConfig
from yolact.config.base import ConfigError
from yolact.config.presets import PRESETS, preset
from yolact.models.build import build_model
from yolact.structures import Target
from yolact.training.loop import train


def target(size: int, num_classes: int) -> Target:
    """Two objects that overlap, and a crowd."""
    boxes = torch.tensor([[0.1, 0.1, 0.5, 0.6], [0.3, 0.2, 0.9, 0.8], [0.6, 0.6, 1.0, 1.0]]) * size
    masks = torch.zeros(3, size, size, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = 1
    return Target(boxes, torch.tensor([0, num_classes - 1, 1]), masks, torch.tensor([False, False, True]), image_id=1)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_full_size_step_and_an_inference(name):
    chosen = preset(name)
    torch.manual_seed(0)
    model = build_model(chosen.model, chosen.num_classes, pretrained=False)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics of this one batch, or random weights overflow in inference
    for key, value in model.named_parameters():
        if key.endswith(".bn3.weight"):
            torch.nn.init.constant_(value, 0.2)  # nor may random residuals add up over 33 blocks
    before = {key: value.clone() for key, value in model.state_dict().items() if value.is_floating_point()}
    images = torch.rand(1, 3, model.image_size, model.image_size) * 255
    truth = [target(model.image_size, chosen.num_classes)]

    # a step small enough to leave random weights usable
    once = chosen.training.replace(iterations=1, batch_size=1, warmup_lr=1e-8)
    history = train(model, lambda start: iter([(images, truth)]), once)

    assert history.skipped == 0
    assert all(value > 0 for key, value in history.rows[0].items())
    after = model.state_dict()
    assert all(torch.isfinite(after[key]).all() for key in before)
    assert any(not torch.equal(after[key], before[key]) for key in before if key.endswith("weight"))

    inference = chosen.inference
    if name.startswith("yolov3"):  # random weights leave all 22,743 boxes of 80 classes to NMS
        inference = inference.replace(level_top_k=100)
    (found,) = predict(model, [torch.randint(0, 256, (3, 480, 640), dtype=torch.uint8)], inference)
    if isinstance(getattr(chosen.model, "mask_branch", None), NoMaskConfig) or isinstance(chosen.model, FasterRCNNConfig):
        assert found.masks is None
    else:
        assert found.masks is not None and found.masks.shape == (len(found), 480, 640)
    assert len(found) <= chosen.inference.max_detections
    assert torch.isfinite(found.boxes).all() and torch.isfinite(found.scores).all()


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="unknown preset 'yolact_bse', did you mean 'yolact_base'"):
        preset("yolact_bse")
