"""SSD. Numbers in comments are those of the fact sheet on box detectors."""

from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models.detection._utils import SSDMatcher
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssd import SSDHead as TorchvisionHead
from torchvision.ops import box_convert, box_iou

from tests.support.networks import predict, random_batch, target, tiny_model
from yolact.config import (
    BackboneConfig,
    DefaultBoxConfig,
    InferenceConfig,
    MatchingConfig,
    SSDConfig,
    SSDNeckConfig,
    TrainingConfig,
)
from yolact.config.base import ConfigError
from yolact.config.model.parts import IMAGENET_MEAN, IMAGENET_STD
from yolact.models.base import total_counts
from yolact.models.build import build_model
from yolact.ops.anchors import make_default_boxes
from yolact.training.loop import train

TINY = SSDConfig(
    image_size=64,
    backbone=BackboneConfig(name="resnet_tiny", weights=None),
    neck=SSDNeckConfig(widths=(16, 32, 32, 32), strides=(2,)),
    anchors=DefaultBoxConfig(
        scales=(0.15, 0.3, 0.5, 0.7, 0.9), aspect_ratios=((2,), (2, 3), (2, 3), (2,)), strides=(8, 16, 32, 64)
    ),
    matching=MatchingConfig(negative_iou=0.5, crowd_iou=1),
)
"""8, 4, 2, 1 cells: 64 * 4 + 16 * 6 + 4 * 6 + 4 = 380 boxes."""


class Levels(nn.Module):
    """Our backbone and neck, as torchvision's detector reads them."""

    def __init__(self, model):
        super().__init__()
        self.model, self.out_channels = model, list(model.config.neck.widths)

    def forward(self, images):
        return OrderedDict((str(i), level) for i, level in enumerate(self.model.fpn(self.model.backbone(images))))


def torchvisions(model, classes):
    """torchvision's SSD with the weights of `model`."""
    anchors, size = model.config.anchors, model.image_size
    boxes = DefaultBoxGenerator(
        [list(ratios) for ratios in anchors.aspect_ratios], scales=list(anchors.scales), steps=list(anchors.strides)
    )
    theirs = SSD(
        Levels(model),
        boxes,
        (size, size),
        classes + 1,
        image_mean=[value / 255 for value in IMAGENET_MEAN],
        image_std=[value / 255 for value in IMAGENET_STD],
    )
    for head, ours in (
        (theirs.head.classification_head, model.head.classification),
        (theirs.head.regression_head, model.head.box),
    ):
        head.module_list.load_state_dict(ours.state_dict())
    return theirs


def test_torchvisions_outputs_losses_and_detections():  # 5.2
    model = tiny_model(TINY, 3).eval()
    with torch.no_grad():
        for layer in (*model.head.box, *model.head.classification):
            layer.weight.normal_(std=0.1)
    theirs = torchvisions(model, 3)
    images, targets = random_batch(1, images=3, n=4)
    raw = model(images)
    expected = theirs.head(list(theirs.backbone((images - model.pixel_mean) / model.pixel_std).values()))
    torch.testing.assert_close(raw.dense.logits, expected["cls_logits"])
    torch.testing.assert_close(raw.dense.box, expected["bbox_regression"])

    theirs.train()
    model.eval()
    wanted = theirs(list(images / 255), [{"boxes": each.boxes, "labels": each.labels + 1} for each in targets])
    terms = model.criterion(raw, model.assign(targets))
    torch.testing.assert_close(terms["box"], wanted["bbox_regression"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(terms["class"], wanted["classification"], rtol=1e-5, atol=1e-6)

    theirs.eval()
    found = model.postprocess(raw, [(64, 64)] * 3, InferenceConfig(**TINY.inference_defaults))
    with torch.no_grad():
        kept = theirs(list(images / 255))
    for ours, other in zip(found, kept, strict=True):
        assert len(ours) == len(other["boxes"]) > 20
        torch.testing.assert_close(ours.scores, other["scores"])
        torch.testing.assert_close(ours.boxes, other["boxes"], rtol=1e-4, atol=1e-3)
        assert torch.equal(ours.labels + 1, other["labels"])


def test_published_default_boxes():  # 1.2: 8732
    sizes = [(side, side) for side in (38, 19, 10, 5, 3, 1)]
    made = make_default_boxes(DefaultBoxConfig(), 300, sizes)
    config = DefaultBoxConfig()
    theirs = DefaultBoxGenerator(
        [list(each) for each in config.aspect_ratios], scales=list(config.scales), steps=[8, 16, 32, 64, 100, 300]
    )
    expected = theirs._grid_default_boxes([list(size) for size in sizes], [300, 300])
    assert len(made) == 8732
    torch.testing.assert_close(made, expected)
    assert made[0, :2].tolist() == pytest.approx([4 / 300] * 2) and made[0, 2:].tolist() == pytest.approx([0.07] * 2)


def test_published_levels_and_head():  # 1.2
    with torch.device("meta"):
        model = build_model(SSDConfig(backbone=BackboneConfig(name="resnet50", weights=None)), 90, pretrained=False).eval()
        raw = model(torch.zeros(1, 3, 300, 300))
        theirs = TorchvisionHead([512, 1024, 512, 256, 256, 256], [4, 6, 6, 6, 4, 4], 91)
    assert model.head.level_sizes == [(side, side) for side in (38, 19, 10, 5, 3, 1)]
    assert raw.dense.box.shape == (1, 8732, 4) and sum(model.head.level_counts) == 8732
    shapes = lambda module: sorted(tuple(value.shape) for value in module.parameters())  # noqa: E731
    assert shapes(model.head) == shapes(theirs)


def test_the_finest_level_is_normalised():
    model = tiny_model(TINY)
    images, _ = random_batch(0)
    levels = model.fpn(model.backbone(images))
    assert [level.shape[-1] for level in levels] == [8, 4, 2, 1]
    norms = levels[0].norm(dim=1)
    assert torch.all((norms == 0) | ((norms - 20).abs() < 1e-3)) and (norms > 0).any()
    plain = tiny_model(TINY.replace(neck=TINY.neck.replace(scale=None)))
    assert plain.fpn.scale is None and plain.fpn(plain.backbone(images))[0].norm(dim=1).std() > 1e-3


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31))
def test_matches_are_torchvisions(seed):  # 1.2
    model = tiny_model(TINY)
    (truth,) = random_batch(seed, images=1, n=5)[1]
    (matches,) = model.head.assign([truth])
    corners = box_convert(model.head.locations, "cxcywh", "xyxy")
    expected = SSDMatcher(0.5)(box_iou(truth.boxes / 64, corners))
    assert torch.equal(matches.positive, expected >= 0) and not (matches.classes == -1).any()
    assert torch.equal(matches.objects[matches.positive], expected[expected >= 0])


def test_of_two_objects_with_one_best_box_the_later_has_it():  # 1.2 [Q]
    model = tiny_model(TINY)
    (matches,) = model.head.assign([target([[19, 19, 21, 21], [19, 19, 21, 21]], [0, 1])])
    assert matches.classes[matches.positive].tolist() == [2] and matches.objects[matches.positive].tolist() == [1]


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**31))
def test_a_split_batch_has_the_same_loss(seed):
    model = tiny_model(TINY).eval()
    images, targets = random_batch(seed, images=3, n=2, crowds=1)
    whole = model.loss(images, model.assign(targets))
    parts = [model.assign(targets[:1]), model.assign(targets[1:])]
    counts = total_counts(part.counts for part in parts)
    split = [model.loss(images[:1], parts[0], counts), model.loss(images[1:], parts[1], counts)]
    for name, value in whole.items():
        torch.testing.assert_close(split[0][name] + split[1][name], value, rtol=1e-4, atol=1e-5)


def test_an_empty_batch_has_a_loss_of_nothing():  # 1.2.5
    model = tiny_model(TINY)
    images, targets = random_batch(0, n=0)
    terms = model.loss(images, model.assign(targets))
    sum(terms.values()).backward()
    assert {name: value.item() for name, value in terms.items()} == {"box": 0, "class": 0}


def test_it_learns_and_predicts_boxes():
    model = tiny_model(TINY)
    batch = random_batch(0)
    history = train(model, lambda start: iter([batch] * 30), TrainingConfig(iterations=30, lr=1e-3, batch_size=2, log_every=10))
    assert history.skipped == 0 and history.rows[-1]["loss"] < history.rows[0]["loss"]
    inference = InferenceConfig(**{**SSDConfig.inference_defaults, "max_detections": 3, "score_threshold": 0.0})
    (found,) = predict(model.eval(), [torch.zeros(3, 40, 56, dtype=torch.uint8)], inference)
    assert len(found) == 3 and found.masks is None
    assert (found.boxes >= 0).all() and (found.boxes <= torch.tensor([56.0, 40, 56, 40])).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neck": {"widths": [8, 8, 8], "strides": [2, 1, 1]}}, "neck.widths lists 3 levels, neck.strides gives 6"),
        ({"neck": {"widths": [8] * 4, "strides": [2]}}, "anchors.strides lists 6 levels, the neck has 4"),
        ({"anchors": {"strides": [8]}}, "scales are of 6 levels"),
        ({"mask_branch": {"kind": "prototypes"}}, "levels have different numbers of channels; choose 'none'"),
    ],
)
def test_parts_that_do_not_fit(changes, message):
    with pytest.raises(ConfigError, match=message):
        SSDConfig.from_data(changes)


def test_a_level_without_cells_is_refused():
    with pytest.raises(ConfigError, match=r"model\.neck\.strides: level 5 has no cell left above one of \(2, 2\) cells"):
        tiny_model(SSDConfig(image_size=128, backbone=TINY.backbone))
