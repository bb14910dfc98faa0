"""Faster R-CNN: the box part of Mask R-CNN, torchvision's names and number of weights. Numbers in comments are those of the
fact sheet on box detectors."""

import pytest
import torch
from torch import nn
from torchvision.models.detection import fasterrcnn_resnet50_fpn, maskrcnn_resnet50_fpn

from tests.support.networks import SIZE, loss, predict, random_batch, tiny_model
from yolact.config import BackboneConfig, FasterRCNNConfig, InferenceConfig, MaskRCNNConfig
from yolact.config.base import ConfigError
from yolact.inference.random_weights import settle
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


FROM_P2 = {"finest_level": 2, "backbone": BackboneConfig(name="resnet50", weights=None)}


@pytest.mark.parametrize(
    ("config", "build", "count"),
    [
        (FasterRCNNConfig(**FROM_P2), fasterrcnn_resnet50_fpn, 41_755_286),
        (MaskRCNNConfig(**FROM_P2), maskrcnn_resnet50_fpn, 44_401_393),
    ],
    ids=["Faster R-CNN", "Mask R-CNN"],
)
def test_names_and_number_of_weights_are_torchvisions(config, build, count):  # 1.1, 1.2.4
    with torch.device("meta"):
        model = build_model(config, num_classes=90)
        theirs = {name: value.shape for name, value in build(weights=None, weights_backbone=None).state_dict().items()}
    ours = {name.removeprefix("detector."): value.shape for name, value in model.state_dict().items()}
    assert ours == {name: shape for name, shape in theirs.items() if not name.startswith("backbone.body.fc")}
    norms = {id(weight) for module in model.modules() if isinstance(module, nn.BatchNorm2d) for weight in module.parameters()}
    assert sum(weight.numel() for weight in model.parameters() if id(weight) not in norms) == count  # theirs are frozen


def test_detections_are_torchvisions():  # 5.4: 128 px, where anchors are the same
    torch.manual_seed(0)
    model = build_model(MaskRCNNConfig(**FROM_P2, image_size=128), num_classes=3).eval()
    settle(model)
    nn.init.normal_(model.detector.roi_heads.box_predictor.cls_score.weight, std=0.1)
    scale = {"image_mean": (model.pixel_mean / 255).flatten().tolist(), "image_std": (model.pixel_std / 255).flatten().tolist()}
    sizes = {"min_size": 128, "max_size": 128, "box_score_thresh": 0.1}
    theirs = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=4, **scale, **sizes).eval()
    theirs.load_state_dict({name.removeprefix("detector."): value for name, value in model.state_dict().items()}, strict=True)
    picture = torch.randint(0, 256, (3, 128, 128), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with torch.no_grad():
        (expected,) = theirs([picture / 255])
    (found,) = predict(model, [picture], InferenceConfig(suppression="standard", score_threshold=0.1))
    assert len(found) == len(expected["scores"]) == 100
    assert torch.equal(found.labels, expected["labels"] - 1)
    torch.testing.assert_close(found.scores, expected["scores"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.boxes, expected["boxes"], rtol=1e-4, atol=1e-3)
    assert (found.masks != (expected["masks"][:, 0] > 0.5)).float().mean() < 1e-4


@pytest.mark.parametrize("finest", [2, 3])
def test_levels_have_their_numbers(finest):
    model = tiny_model(TINY.replace(finest_level=finest, anchor_sizes=(8, 16, 24, 32, 48))).eval()
    levels = model.rpn_features(model(random_batch(0)[0]))
    assert [(name, level.shape[-1]) for name, level in levels.items()] == [
        (f"P{number}", max(1, SIZE >> number)) for number in range(finest, finest + 5)
    ]


def test_a_level_without_anchors_is_refused():
    with pytest.raises(ConfigError, match="anchor_sizes lists 3 sizes, but each of the 4 levels up to P5 needs one"):
        TINY.replace(anchor_sizes=(8, 16, 24), finest_level=2)
    assert "finest_level" not in TINY.to_data()  # an older network keeps its bytes
