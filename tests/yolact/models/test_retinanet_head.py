"""RetinaNet's head. Numbers in comments are those of the fact sheet on RetinaMask; D marks that on box detectors."""

import math
from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.retinanet import RetinaNet
from torchvision.models.detection.retinanet import RetinaNetHead as TorchvisionHead
from torchvision.ops import box_convert, box_iou

from tests.support.networks import predict, random_batch, target, tiny_model
from yolact.config import (
    BackboneConfig,
    BestMatchConfig,
    FPNConfig,
    InferenceConfig,
    OctaveAnchorConfig,
    RetinaNetConfig,
    RetinaNetLossConfig,
    TowerHeadConfig,
    TrainingConfig,
)
from yolact.config.base import ConfigError
from yolact.config.model.parts import IMAGENET_MEAN, IMAGENET_STD
from yolact.models.base import total_counts
from yolact.models.build import build_model
from yolact.models.one_stage.dense_head import Assignment, Dense
from yolact.models.one_stage.heads.retinanet_head import RetinaNetHead
from yolact.models.one_stage.losses import focal_loss
from yolact.ops.anchors import level_sizes, make_octave_anchors
from yolact.training.loop import train

TINY = RetinaNetConfig(
    image_size=64,
    backbone=BackboneConfig(name="resnet_tiny", weights=None),
    fpn=FPNConfig(channels=16, upsample="nearest", relu=False),
    anchors=OctaveAnchorConfig(sizes=(8, 12, 16, 24, 32)),
    head=TowerHeadConfig(convs=1),
)
"""774 anchors."""
BRANCHES = {
    "none": {},
    "prototypes": {"k": 4, "channels": 16},
    "fc_mask": {"size": 4},
    "dynamic": {"channels": 16, "convs": 1, "coordinate_unit": 1},
    "blend": {"channels": 16, "convs": 1, "attention": 7, "resolution": 14},
    "roi": {"channels": 16, "convs": 1, "canonical_size": 28},
}
ADJUSTING = TINY.replace(loss=RetinaNetLossConfig(distance="self_adjusting", divisor="retinamask"))


class Features(nn.Module):
    """Our backbone and pyramid, as torchvision's detector reads them."""

    def __init__(self, model):
        super().__init__()
        self.model, self.out_channels = model, model.config.fpn.channels

    def forward(self, images):
        return OrderedDict((str(i), level) for i, level in enumerate(self.model.fpn(self.model.backbone(images))))


def torchvisions(model, classes):
    """torchvision's RetinaNet with the weights of `model`."""
    size, ours = model.image_size, model.head
    sizes = tuple(tuple(int(side * 2 ** (i / 3)) for i in range(3)) for side in model.config.anchors.sizes)
    theirs = RetinaNet(
        Features(model),
        classes,
        min_size=size,
        max_size=size,
        size_divisible=1,
        image_mean=[value / 255 for value in IMAGENET_MEAN],
        image_std=[value / 255 for value in IMAGENET_STD],
        anchor_generator=AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes)),
        head=TorchvisionHead(model.config.fpn.channels, 9, classes),
    )
    towers = ((ours.class_tower, ours.classification), (ours.box_tower, ours.box))
    heads = (theirs.head.classification_head, theirs.head.regression_head)
    for (tower, last), head in zip(towers, heads, strict=True):
        convs = [module for module in tower if isinstance(module, nn.Conv2d)]
        head.load_state_dict(
            {f"conv.{i}.0.{name}": value for i, conv in enumerate(convs) for name, value in conv.state_dict().items()}
            | {
                f"{'cls_logits' if last is ours.classification else 'bbox_reg'}.{name}": value
                for name, value in last.state_dict().items()
            }
        )
    return theirs


def test_torchvisions_outputs_losses_and_detections():  # D5.4
    config = RetinaNetConfig(
        image_size=128,
        backbone=BackboneConfig(name="resnet_tiny", weights=None),
        fpn=FPNConfig(channels=16, upsample="nearest", relu=False),
        anchors=OctaveAnchorConfig(sizes=(16, 32, 48, 64, 90)),
        matching=BestMatchConfig(crowd_iou=1),
    )
    model = tiny_model(config, 3)
    with torch.no_grad():
        for layer in model.head.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.normal_(std=0.1)
        model.head.classification.bias.fill_(-3.0)
    theirs = torchvisions(model.eval(), 3)
    images, targets = random_batch(1, images=2, n=4, size=128)
    raw = model(images)
    expected = theirs.head(list(theirs.backbone((images - model.pixel_mean) / model.pixel_std).values()))
    torch.testing.assert_close(raw.dense.logits, expected["cls_logits"])
    torch.testing.assert_close(raw.dense.box, expected["bbox_regression"])

    theirs.train()
    model.eval()
    truth = [{"boxes": each.boxes, "labels": each.labels} for each in targets]
    wanted = theirs(list(images / 255), truth)
    terms = model.criterion(raw, model.assign(targets))
    torch.testing.assert_close(terms["box"], wanted["bbox_regression"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(terms["class"], wanted["classification"], rtol=1e-5, atol=1e-6)

    theirs.eval()
    found = model.postprocess(raw, [(128, 128)] * 2, InferenceConfig(**config.inference_defaults, max_detections=300))
    with torch.no_grad():
        kept = theirs(list(images / 255))
    assert ((raw.dense.logits.sigmoid() > 0.05).sum((1, 2)) > 1000).all()  # the best 1000 of a level matter
    for ours, other in zip(found, kept, strict=True):
        assert len(ours) == len(other["boxes"]) > 100
        torch.testing.assert_close(ours.scores, other["scores"])
        pairs = [(each["boxes"], each["labels"][:, None] * 1000) for each in (vars(ours), other)]
        one, two = (torch.cat(pair, 1).double() for pair in pairs)
        apart = (one[:, None] - two).abs().amax(dim=2)  # near ties of scores may change places
        assert apart.amin(dim=1).max() < 1e-3 and apart.amin(dim=0).max() < 1e-3


@pytest.mark.parametrize(("size", "anchors"), [(550, 57_744), (128, 3_069)])
def test_published_numbers_of_anchors(size, anchors):  # D1.2.3
    assert len(make_octave_anchors(OctaveAnchorConfig(), size, level_sizes(size, 5))) == anchors


def test_anchors():  # 4, D1.1.4
    config = OctaveAnchorConfig(whole_pixels=False, place=0.5)
    made = make_octave_anchors(config, 128, level_sizes(128, 5)).double() * 128
    assert made[:9, :2].tolist() == [[4, 4]] * 9 and made[9, :2].tolist() == [12, 4]
    assert (made[:9, 3] / made[:9, 2]).tolist() == pytest.approx([0.5] * 3 + [1] * 3 + [2] * 3)
    assert made[:3, 2:].prod(dim=1).sqrt().tolist() == pytest.approx([32, 32 * 2 ** (1 / 3), 32 * 2 ** (2 / 3)])
    whole = make_octave_anchors(OctaveAnchorConfig(), 550, level_sizes(550, 5)).double() * 550
    assert whole[:2].round(decimals=3).tolist() == [[0, 0, 46, 22], [0, 0, 56, 28]]  # of 32 and 40, sides cut
    assert whole[9, :2].round(decimals=3).tolist() == [8, 0]  # the true stride, where torchvision has 550 // 69 = 7


@pytest.mark.parametrize(
    ("groups", "source", "parameters"),
    [pytest.param(None, "P5", 34_014_999 + 53_120, id="v1"), pytest.param(32, "C5", 38_198_935, id="v2")],
)
def test_published_numbers_of_parameters(groups, source, parameters):  # D1.1; v1 counts no batch norm
    fpn = FPNConfig(upsample="nearest", relu=False, extra_from=source)
    backbone = BackboneConfig(name="resnet50", weights=None)
    with torch.device("meta"):
        model = build_model(RetinaNetConfig(backbone=backbone, fpn=fpn, head=TowerHeadConfig(groups=groups)), 91, False)
    assert sum(value.numel() for value in model.parameters()) == parameters


def test_initial_weights():  # 3
    head = tiny_model(TINY).head
    assert head.classification.bias.allclose(torch.tensor(-4.595), atol=1e-3) and not head.box.bias.any()
    assert 0.008 < head.classification.weight.std() < 0.012


def test_focal_loss():  # 30
    def loss(label):
        return focal_loss(torch.zeros(1, 1, 1), torch.tensor([[label]]), 0.25, 2).item()

    assert loss(1) == pytest.approx(0.25 * 0.25 * math.log(2)) and loss(1) == pytest.approx(0.0433, abs=5e-5)
    assert loss(0) == pytest.approx(0.1300, abs=5e-5) and loss(-1) == 0


def head(**changes):
    config = RetinaNetConfig(image_size=128, fpn=FPNConfig(channels=16, upsample="nearest", relu=False), **changes)
    return RetinaNetHead(config, 2, 0, level_sizes(128, 5))


@pytest.mark.parametrize(
    ("divisor", "classes", "boxes"),
    [
        ("image", (0.0433 * 2 / 2 + 0.0433) / 2, (8 * 0.5 / 2 + 4 * 0.5) / 2),
        ("positives", 0.0433 * 3 / 3, 12 * 0.5 / 3),
        ("retinamask", 0.0433 * 3 / 5, 12 * 0.5 / 12),  # 30: 3 positives, 2 images: divisor 5
    ],
)
def test_divisors(divisor, classes, boxes):  # 6, 13
    made = head(loss=RetinaNetLossConfig(divisor=divisor))
    locations = torch.tensor([0, 9, 18])
    places = made.locations[locations]
    corners = torch.cat([places[:, :2] - places[:, 2:] / 2, places[:, :2] + places[:, 2:] / 2], 1)
    classes_of = torch.full((2, len(made.locations)), -1)
    classes_of[[0, 0, 1], locations] = 1
    counts = {"positives": 3, "images": 2}
    image, masks = torch.tensor([0, 0, 1]), torch.zeros(3, 128, 128, dtype=torch.uint8)
    assignment = Assignment(
        classes_of, image, locations, torch.arange(3), [2, 1], corners, torch.zeros(3).long(), masks, image, [0, 1], counts
    )
    logits = torch.full((2, len(made.locations), 2), -50.0)
    logits[[0, 0, 1], locations, 0] = 0
    dense = Dense(torch.full((2, len(made.locations), 4), 0.5), logits, torch.zeros(2, 0, 0), None)
    terms = made.loss(dense, assignment, counts)
    assert terms["class"].item() == pytest.approx(classes, abs=5e-5)
    assert terms["box"].item() == pytest.approx(boxes, rel=1e-4)


@pytest.mark.parametrize(
    ("best_match_iou", "positive"), [(0.0, True), (None, False), (0.2, False), (0.15, True)], ids=["on", "off", ".2", ".15"]
)
def test_best_matches(best_match_iou, positive):  # 32: 10 x 100 on squares of 32, IoU 320 / 1704 = .188
    anchors = OctaveAnchorConfig(sizes=(32,) * 5, per_octave=1, aspect_ratios=(1,), place=0.5, whole_pixels=False)
    made = head(anchors=anchors, matching=BestMatchConfig(best_match_iou=best_match_iou))
    (matches,) = made.assign([target([[63, 14, 73, 114]], size=128)])
    at = matches.positive.nonzero()[:, 0]
    assert bool(len(at)) is positive
    assert set(matches.classes.tolist()) == ({0, 1} if positive else {0})
    if positive:  # 7: all that tie
        corners = box_convert(made.locations[at] * 128, "cxcywh", "xyxy")
        overlap = box_iou(corners, torch.tensor([[63.0, 14, 73, 114]]))
        assert len(at) > 1 and overlap.flatten().tolist() == pytest.approx([320 / 1704] * len(at))


def slow_matches(boxes, labels, anchors, best_match_iou):
    """Classes of anchors by loops over numbers."""

    def iou(a, b):
        width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        shared = max(0.0, width) * max(0.0, height)
        return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)

    table = [[iou(box, anchor) for anchor in anchors] for box in boxes]
    classes, objects = [], []
    for column in range(len(anchors)):
        own = [row[column] for row in table]
        best = max(range(len(own)), key=own.__getitem__)
        objects.append(best)
        classes.append(labels[best] + 1 if own[best] >= 0.5 else 0 if own[best] < 0.4 else -1)
    for row in table:
        if best_match_iou is not None and max(row) > 0 and max(row) >= best_match_iou:
            for column, value in enumerate(row):
                if value == max(row):
                    classes[column] = labels[objects[column]] + 1
    return classes, objects


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([None, 0.0, 0.3, 0.45]))
def test_matches_by_loops(seed, best_match_iou):  # 7, 8
    made = head(anchors=OctaveAnchorConfig(per_octave=1), matching=BestMatchConfig(best_match_iou=best_match_iou))
    generator = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, 96, (3, 2), generator=generator)
    boxes = torch.cat([corner, corner + torch.randint(4, 32, (3, 2), generator=generator)], 1).float()
    (matches,) = made.assign([target(boxes, [0, 1, 0], size=128)])
    centre, sides = made.locations.double()[:, :2] * 128, made.locations.double()[:, 2:] * 128
    corners = torch.cat([centre - sides / 2, centre + sides / 2], 1).round().tolist()
    classes, objects = slow_matches(boxes.tolist(), [0, 1, 0], corners, best_match_iou)
    assert matches.classes.tolist() == classes
    assert matches.objects[matches.positive].tolist() == [o for o, c in zip(objects, classes, strict=True) if c > 0]


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["image", "positives", "retinamask"]), st.sampled_from(["l1", "smooth_l1"]))
def test_a_split_batch_has_the_same_loss(seed, divisor, distance):  # 36
    loss = RetinaNetLossConfig(divisor=divisor, distance=distance)
    model = tiny_model(TINY.replace(mask_branch={"kind": "prototypes", **BRANCHES["prototypes"]}, loss=loss)).eval()
    images, targets = random_batch(seed, images=3, n=2, crowds=1)
    whole = model.loss(images, model.assign(targets))
    parts = [model.assign(targets[:1]), model.assign(targets[1:])]
    counts = total_counts(part.counts for part in parts)
    split = [model.loss(images[:1], parts[0], counts), model.loss(images[1:], parts[1], counts)]
    assert set(whole) == {"box", "class", "mask"}
    for name, value in whole.items():
        torch.testing.assert_close(split[0][name] + split[1][name], value, rtol=1e-4, atol=1e-5)


def test_an_empty_batch_has_a_finite_loss_and_gradients():  # 11
    model = tiny_model(ADJUSTING)
    images, targets = random_batch(0, n=0)
    terms = model.loss(images, model.assign(targets))
    sum(terms.values()).backward()
    assert all(torch.isfinite(value) for value in terms.values()) and terms["box"] == 0
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("bad", ["box", "logits"])
def test_a_value_that_is_not_finite_shows(bad):
    model = tiny_model(TINY).eval()
    images, targets = random_batch(0)
    raw = model(images)
    spoilt = getattr(raw.dense, bad).clone()
    spoilt[0, -1] = torch.inf
    terms = model.criterion(raw._replace(dense=raw.dense._replace(**{bad: spoilt})), model.assign(targets))
    assert not torch.isfinite(sum(terms.values()))


def test_crowds_change_nothing_but_the_background_inside():
    kept = target([[8, 8, 30, 30], [0, 0, 64, 64]], [0, 1], [False, True])
    other = target([[8, 8, 30, 30], [0, 0, 64, 64]], [0, 2], [False, True])
    ignoring, official = (tiny_model(TINY.replace(matching=BestMatchConfig(crowd_iou=iou))) for iou in (0.7, 1))
    assert torch.equal(ignoring.assign([kept]).classes, ignoring.assign([other]).classes)
    found, plain = ignoring.assign([kept]).classes, official.assign([kept]).classes
    assert torch.equal(found > 0, plain > 0) and (found == -1).sum() > (plain == -1).sum()


@pytest.mark.parametrize("kind", BRANCHES)
def test_every_mask_branch_learns_and_predicts(kind):
    torch.manual_seed(0)
    model = build_model(TINY.replace(mask_branch={"kind": kind, **BRANCHES[kind]}), 3)
    batch = random_batch(0)
    history = train(model, lambda start: iter([batch]), TrainingConfig(iterations=1, batch_size=2, warmup_lr=1e-3))
    assert history.skipped == 0 and all(value > 0 for value in history.rows[0].values())
    (found,) = predict(
        model.eval(), [torch.zeros(3, 40, 56, dtype=torch.uint8)], InferenceConfig(score_threshold=0, max_detections=3)
    )
    assert len(found) == 3
    assert found.masks is None if kind == "none" else found.masks.shape == (3, 40, 56)


def test_masks_of_regions_leave_boxes_as_they_are():  # 34, 35
    model = tiny_model(ADJUSTING.replace(mask_branch={"kind": "roi", **BRANCHES["roi"]})).eval()
    inference = InferenceConfig(**RetinaNetConfig.inference_defaults, max_detections=5, score_threshold=0.0)
    pictures = [torch.randint(0, 256, (3, 40, 56), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))]
    (with_masks,), (without,) = (predict(model, pictures, inference.replace(masks=masks)) for masks in (True, False))
    assert len(with_masks) == 5 and torch.equal(with_masks.boxes, without.boxes) and without.masks is None
    images, targets = random_batch(0)
    raw = model(images)
    assert not (raw.dense.logits.sigmoid() > 0.05).any()  # before training nothing is detected
    mask = model.criterion(raw, model.assign(targets))["mask"]
    assert torch.isfinite(mask) and mask > 0
    assert model.criterion(raw, model.assign(random_batch(0, n=0)[1]))["mask"] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"anchors": OctaveAnchorConfig(sizes=(16, 32))}, "anchors.sizes lists 2 levels, the pyramid has 5"),
        ({"head": TowerHeadConfig(groups=3)}, "head.groups 3 does not divide fpn.channels 256"),
    ],
)
def test_parts_that_do_not_fit(changes, message):
    with pytest.raises(ConfigError, match=message):
        RetinaNetConfig().replace(**changes)
