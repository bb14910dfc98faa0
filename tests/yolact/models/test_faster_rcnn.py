"""Faster R-CNN: the box part of Mask R-CNN, torchvision's names and number of weights. Numbers in comments are those of the
fact sheet on box detectors."""

import pytest
import torch
from torchvision.models.detection import fasterrcnn_resnet50_fpn

from tests.support.networks import SIZE, loss, predict, random_batch, tiny_model
from yolact.config import BackboneConfig, FasterRCNNConfig, InferenceConfig, MaskRCNNConfig
from yolact.models.build import build_model

FIELDS = {
    "image_size": SIZE,
    "backbone": BackboneConfig(name="resnet_tiny", weights=None, width=4),
    "channels": 8,
    "representation": 16,
    "regions_per_image": 32,
    "anchor_sizes": (8, 16, 24, 32),
}
TINY = FasterRCNNConfig(**FIELDS)
EASY = InferenceConfig(suppression="standard", score_threshold=0.0, max_detections=20)


@pytest.fixture
def pair():
    """Faster R-CNN and a Mask R-CNN of the same weights."""
    boxes, masks = tiny_model(TINY, seed=1), tiny_model(MaskRCNNConfig(**FIELDS), seed=2)
    boxes.load_state_dict({name: value for name, value in masks.state_dict().items() if name in boxes.state_dict()})
    return boxes, masks


def test_it_is_mask_rcnn_without_masks(pair):  # 5.4
    boxes, masks = pair
    assert {name for name in masks.state_dict() if name not in boxes.state_dict()} == {
        name for name in masks.state_dict() if ".mask_" in name
    }
    images, targets = random_batch(0)
    found, expected = loss(boxes.train(), images, targets), loss(masks.train(), images, targets)
    assert list(found) == ["objectness", "rpn_box", "class", "box"]
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_it_finds_the_boxes_of_mask_rcnn_and_no_masks(pair):
    picture = [torch.randint(0, 256, (3, 40, 56), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)]
    (found,), (expected,) = (predict(model.eval(), picture, EASY) for model in pair)
    assert len(found) == 20 and found.masks is None and expected.masks is not None
    for part in ("boxes", "scores", "labels"):
        assert torch.equal(getattr(found, part), getattr(expected, part))


def test_names_and_number_of_weights_are_torchvisions():  # 1.1, 1.2.4
    """Up to the level P2, and to batch norm, which torchvision's count leaves out."""
    with torch.device("meta"):
        model = build_model(FasterRCNNConfig(backbone=BackboneConfig(name="resnet50", weights=None)), num_classes=90)
        theirs = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict()
    ours = {name.removeprefix("detector."): value.shape for name, value in model.state_dict().items()}
    assert {name for name in theirs if "fpn" not in name} - {f"backbone.body.fc.{part}" for part in ("weight", "bias")} == {
        name for name in ours if "fpn" not in name
    }
    for place in ("inner_blocks", "layer_blocks"):
        for level in range(3):
            name = f"backbone.fpn.{place}.{level}.0.weight"
            assert ours[name] == theirs[name.replace(f"s.{level}.", f"s.{level + 1}.")].shape
    weights = sum(value.numel() for name, value in model.named_parameters() if ".bn" not in name and "downsample.1" not in name)
    assert weights == 41_755_286 - (256 * 256 + 256) - (256 * 256 * 9 + 256)
