"""Detectors without masks: as an inference field, and as a network that never had a mask branch. Quirks of boxes and levels."""

from __future__ import annotations

import pytest
import torch

from tests.support.networks import SIZE, TINY, TINY_FC_MASK, loss, predict, random_batch, tiny_model
from yolact.config import (
    AugmentationConfig,
    BackboneConfig,
    FPNConfig,
    InferenceConfig,
    MaskRCNNConfig,
    NoMaskConfig,
    SpeedConfig,
)
from yolact.data.augmentation import training_sample
from yolact.data.coco import Instances
from yolact.data.patches import Patches
from yolact.evaluation.results import to_records
from yolact.inference.drawing import draw
from yolact.inference.speed import measure_speed
from yolact.measures.prototypes.measure import picture_worthy

NO_MASKS = TINY.replace(mask_branch=NoMaskConfig())
MASK_RCNN = MaskRCNNConfig(
    image_size=SIZE,
    backbone=BackboneConfig(name="resnet_tiny", weights=None, width=4),
    channels=8,
    representation=8,
    anchor_sizes=(8, 16, 24, 32, 48),
)
EASY = InferenceConfig(score_threshold=0.0, suppression="standard", max_detections=5)
BOXES = EASY.replace(masks=False)


def pictures(seed=0):
    return [torch.randint(0, 256, (3, 40, 56), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)]


@pytest.mark.parametrize("config", [TINY, TINY_FC_MASK, MASK_RCNN], ids=["prototypes", "fc_mask", "mask_rcnn"])
def test_masks_can_be_left_out_of_inference_and_nothing_else_changes(config):
    model = tiny_model(config).eval()
    whole, boxes = (predict(model, pictures(), inference)[0] for inference in (EASY, BOXES))
    assert len(whole) == 5
    assert whole.masks.shape == (5, 40, 56)
    assert boxes.masks is None
    assert boxes.prototypes is None
    for part in ("boxes", "scores", "labels"):
        assert torch.equal(getattr(whole, part), getattr(boxes, part))


def test_boxes_alone_are_drawn_recorded_kept_and_timed():
    model = tiny_model(NO_MASKS).eval()
    detections = predict(model, pictures(), EASY)[0]
    assert detections.masks is None
    records = to_records(detections, 7, [1, 2, 3])
    assert all(set(record) == {"image_id", "category_id", "score", "bbox"} for record in records)
    draw(pictures()[0].permute(1, 2, 0).numpy(), detections, ["a", "b", "c"])
    assert picture_worthy(detections).masks is None
    record = measure_speed(model, pictures(), EASY, SpeedConfig(warmup=0, repeats=1), "cpu", 1)
    assert "protonet" not in record["stages_ms"]


def test_without_a_branch_there_is_no_mask_term_and_every_weight_learns():
    model = tiny_model(NO_MASKS).train()
    images, targets = random_batch(0)
    terms = loss(model, images, targets)
    assert set(terms) == {"box", "class", "semantic"}
    sum(terms.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert not any("mask" in name or "protonet" in name for name in model.state_dict())


@pytest.mark.parametrize("config", [TINY, MASK_RCNN], ids=["yolact", "mask_rcnn"])
def test_whole_pixel_boxes_are_cut_towards_zero_and_masks_stay(config):
    model = tiny_model(config).eval()
    exact, whole = (predict(model, pictures(), EASY.replace(whole_pixel_boxes=cut))[0] for cut in (False, True))
    assert not torch.equal(exact.boxes, exact.boxes.trunc())
    assert torch.equal(whole.boxes, exact.boxes.trunc())
    assert torch.equal(whole.masks, exact.masks)


def test_p6_can_be_made_from_c5():
    p5, c5 = (tiny_model(TINY.replace(fpn=FPNConfig(channels=8, extra_from=source))) for source in ("P5", "C5"))
    assert p5.fpn.extra[0].in_channels == 8
    assert c5.fpn.extra[0].in_channels == c5.backbone.channels[-1] != 8
    shapes = [[level.shape for level in model.fpn(model.backbone(torch.rand(1, 3, SIZE, SIZE)))] for model in (p5, c5)]
    assert shapes[0] == shapes[1]


# reference-implementation.md 3.4: a 2-pixel box survives training, where the official filter compares 4/550 with pixels
@pytest.mark.parametrize(("least", "kept"), [(4 / 550, 2), (4.0, 1)])
def test_the_small_box_filter_counts_pixels_of_the_input(least, kept):
    boxes = torch.tensor([[0.0, 0, 2, 20], [10, 10, 40, 40]])
    instances = Instances(boxes, torch.zeros(2, dtype=torch.int64), Patches.of(torch.ones(2, SIZE, SIZE)),
                          torch.zeros(2, dtype=torch.bool))  # fmt: skip
    nothing = {"photometric": False, "expand": False, "crop": False, "mirror": False}
    augmentation = AugmentationConfig(**nothing, min_box_side=least)
    image = torch.zeros(3, SIZE, SIZE, dtype=torch.uint8)
    _, target = training_sample(image, instances, augmentation, SIZE, 0, 1)
    assert len(target.boxes) == kept
