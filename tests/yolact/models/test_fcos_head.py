"""FCOS's head. Numbers in comments are those of the fact sheet on FCOS."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import generalized_box_iou_loss

from tests.support.networks import TINY_POINTS, random_batch, target, tiny_model
from yolact.config import (
    BackboneConfig,
    DynamicMaskConfig,
    FCOSConfig,
    FPNConfig,
    PointHeadConfig,
    PointLossConfig,
    PointMatchingConfig,
)
from yolact.config.base import ConfigError
from yolact.models.base import total_counts
from yolact.models.build import build_model
from yolact.models.one_stage.dense_head import Assignment, Dense
from yolact.models.one_stage.heads.fcos_head import PointHead, giou_loss
from yolact.ops.anchors import level_sizes
from yolact.structures import Target

PUBLISHED = FCOSConfig(image_size=128, backbone=BackboneConfig(name="resnet50", weights=None), mask_branch=DynamicMaskConfig())


def test_published_numbers_of_parameters():  # F58, CondInst 26 to 28
    model = build_model(PUBLISHED, 80, pretrained=False)
    count = lambda part: sum(value.numel() for value in part.parameters())  # noqa: E731
    assert (count(model.head) - count(model.head.mask), count(model.head.mask)) == (4_920_666, 389_545)
    assert count(model.branch) == 1_477_384
    assert len(model.branch.state_dict()) == 44
    assert count(model) == 34_111_179 + 53_120
    assert len(model.head.class_tower) == 12 and model.head.scales.tolist() == [1] * 5


def head(**changes):
    config = FCOSConfig(image_size=128, fpn=FPNConfig(channels=32, upsample="nearest", relu=False), **changes)
    torch.manual_seed(0)
    made = PointHead(config, 80, 0, level_sizes(128, 5))
    made.initialise()
    return made


def assigned(made, targets):
    assignment = Assignment.of(targets, made.assign(targets), 128)
    assignment.counts.update(made.counts(assignment))
    return assignment


def test_losses_of_the_worked_box():  # F54
    made = head()
    assignment = assigned(made, [target([[20, 20, 60, 52]], [51], size=128)])
    assert assignment.counts == {"positives": 6, "images": 1, "centerness": pytest.approx(3.5186, abs=5e-5)}
    dense = Dense(torch.ones(1, 341, 4), torch.full((1, 341, 80), -math.log(99)), torch.zeros(1, 341, 0), torch.zeros(1, 341))
    terms = {name: value.item() for name, value in made.loss(dense, assignment, assignment.counts).items()}
    assert terms == {
        "class": pytest.approx(1.13181, abs=5e-5),
        "box": pytest.approx(0.761905, abs=5e-6),
        "centerness": pytest.approx(0.693147, abs=5e-6),
    }


def test_giou_without_the_offset_is_torchvisions():
    generator = torch.Generator().manual_seed(0)
    made, wanted = torch.rand(2, 50, 4, generator=generator) + 0.01
    corners = [torch.cat([-each[:, :2], each[:, 2:]], 1) for each in (made, wanted)]
    torch.testing.assert_close(giou_loss(made, wanted, 0), generalized_box_iou_loss(*corners), rtol=1e-5, atol=1e-5)
    cell = torch.ones(1, 4), torch.tensor([[2.0, 1, 3, 3]])
    assert giou_loss(*cell, 0).item() == pytest.approx(0.8)  # F54
    assert giou_loss(*cell, 1).item() == pytest.approx(1 - 5 / 21)


@pytest.mark.parametrize(
    ("class_threshold", "probability", "centerness", "score"),
    [
        pytest.param(0.0, 0.06, 0.5, 0.1732, id="below sqrt(.05): dropped by CondInst's threshold"),
        pytest.param(0.05, 0.06, 0.5, 0.1732, id="kept by FCOS's"),
        pytest.param(0.05, 0.05, 0.9, 0.0, id="dropped by FCOS's"),
        pytest.param(0.05, 0.5, 0.5, 0.5, id="kept by both"),
    ],
)
def test_scores(class_threshold, probability, centerness, score):  # F22, F55
    made = head(head=PointHeadConfig(class_threshold=class_threshold))
    found = made.scores(torch.logit(torch.tensor([[probability - 1e-6]])), torch.logit(torch.tensor([centerness])))
    assert found.item() == pytest.approx(score, abs=5e-5)


def test_distances_are_relu_of_the_level_scale_times_the_output():  # F7
    made = head(head=PointHeadConfig(convs=0))
    with torch.no_grad():
        made.box.weight.zero_()
        made.box.bias.copy_(torch.tensor([1.0, 2, -3, 4]))
        made.scales.copy_(torch.tensor([1.0, 2, 3, 4, 5]))
        dense = made([torch.rand(1, 32, side, side) for side in (16, 8, 4, 2, 1)])
    assert dense.box.shape == (1, 341, 4) and dense.logits.shape == (1, 341, 80) and dense.quality.shape == (1, 341)
    assert dense.box[0, 0].tolist() == [1, 2, 0, 4] and dense.box[0, 256].tolist() == [2, 4, 0, 8]
    corners = made.decode(dense.box[0, 256], made.locations[256]) * 128
    assert corners.tolist() == [8 - 2 * 16, 8 - 4 * 16, 8, 8 + 8 * 16]
    assert torch.sigmoid(made(list(torch.zeros(1, 1, 32, 1, 1))).logits).allclose(torch.tensor(0.01))  # F8


def test_a_shared_tower_serves_both_outputs():  # F5
    made = head(head=PointHeadConfig(convs=0, shared_convs=3))
    assert {name.split(".")[0] for name in made.state_dict()} == {
        *("shared_tower", "classification", "box", "centerness", "scales")
    }
    assert [name for name in made.state_dict() if name.startswith("shared_tower") and name.endswith("weight")] == [
        f"shared_tower.{i}.weight" for i in (0, 1, 3, 4, 6, 7)
    ]
    level = torch.rand(1, 32, 4, 4)
    dense, features = made([level]), made.shared_tower(level)
    torch.testing.assert_close(dense.logits, made.classification(features).flatten(2).transpose(1, 2))
    torch.testing.assert_close(dense.quality, made.centerness(features).flatten(1))
    assert not [name for name in head().state_dict() if "shared" in name]
    assert "shared_convs" not in PointHeadConfig().to_data()


def test_pyramid_of_the_paper():  # F1, F2
    torch.manual_seed(0)
    model = tiny_model(
        TINY_POINTS.replace(fpn=FPNConfig(channels=16, upsample="nearest", relu=False), matching=PointMatchingConfig())
    )
    images, _ = random_batch(0)
    model.eval()
    features = model.backbone(images)
    levels = model.fpn(features)
    assert all(level.min() < 0 for level in levels[:4])
    top = model.fpn.lateral[2](features[2])
    merged = model.fpn.lateral[1](features[1]) + top.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(levels[1], model.fpn.output[1](merged))
    torch.testing.assert_close(levels[3], model.fpn.extra[0](levels[2]))
    torch.testing.assert_close(levels[4], model.fpn.extra[1](levels[3].relu()))


def test_centres_of_mass_choose_the_points():  # F12, F53; an empty mask falls back on its box
    mask = torch.zeros(2, 128, 128, dtype=torch.uint8)
    mask[0, 20:52, 20:30] = 1
    mask[0, 48:52, 30:60] = 1
    boxes = torch.tensor([[20.0, 20, 60, 52], [80, 80, 100, 100]])
    truth = Target(boxes, torch.tensor([0, 1]), mask, torch.tensor([False, False]), 0)
    by_mask, by_box = (
        head(matching=PointMatchingConfig(centre=centre)).assign([truth])[0].classes for centre in ("mask", "box")
    )
    assert int((by_box == 1).sum()) == 6 and not torch.equal(by_mask, by_box)
    assert torch.equal(by_mask == 2, by_box == 2) and (by_mask == 2).any()


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31), st.booleans())
def test_a_split_batch_has_the_same_loss(seed, capped):  # F57
    config = TINY_POINTS.replace(mask_branch=TINY_POINTS.mask_branch.replace(max_masks_per_image=2 if capped else 250))
    model = tiny_model(config).eval()
    images, targets = random_batch(seed, images=3, n=2, crowds=1)
    whole = model.loss(images, model.assign(targets))
    parts = [model.assign(targets[:1]), model.assign(targets[1:])]
    counts = total_counts(part.counts for part in parts)
    split = [model.loss(images[:1], parts[0], counts), model.loss(images[1:], parts[1], counts)]
    assert set(whole) == {"box", "class", "centerness", "mask"}
    for name, value in whole.items():
        torch.testing.assert_close(split[0][name] + split[1][name], value, rtol=1e-4, atol=1e-5)


def test_an_empty_batch_has_a_finite_loss_and_gradients():
    model = tiny_model(TINY_POINTS)
    images, targets = random_batch(0, n=0)
    terms = model.loss(images, model.assign(targets))
    sum(terms.values()).backward()
    assert all(torch.isfinite(value) for value in terms.values()) and terms["mask"] == 0 == terms["box"]
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_crowds_change_nothing_but_the_background_inside():  # F57
    model = tiny_model(TINY_POINTS)
    kept = target([[8, 8, 30, 30], [0, 0, 64, 64]], [0, 1], [False, True])
    terms = []
    for changed in (kept, target([[8, 8, 30, 30], [0, 0, 64, 64]], [0, 2], [False, True])):
        torch.manual_seed(0)
        terms.append(model.loss(random_batch(0, images=1)[0], model.assign([changed])))
    assert terms[0] == terms[1]
    official = tiny_model(TINY_POINTS.replace(matching=PointMatchingConfig(sizes_of_interest=(16, 32), ignore_crowds=False)))
    assert (model.assign([kept]).classes == -1).any() and not (official.assign([kept]).classes == -1).any()


@pytest.mark.parametrize("bad", ["box", "logits", "quality", "parameters"])
def test_a_value_that_is_not_finite_shows(bad):
    model = tiny_model(TINY_POINTS).eval()
    images, targets = random_batch(0)
    raw = model(images)
    spoilt = getattr(raw.dense, bad).clone()
    spoilt[0, -1] = torch.inf
    terms = model.criterion(raw._replace(dense=raw.dense._replace(**{bad: spoilt})), model.assign(targets))
    assert not torch.isfinite(sum(terms.values()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"matching": PointMatchingConfig(sizes_of_interest=(16, 32))}, "matching.sizes_of_interest lists 2 sizes, but 4"),
        ({"head": PointHeadConfig(groups=3)}, "head.groups 3 does not divide fpn.channels 256"),
    ],
)
def test_parts_that_do_not_fit(changes, message):
    with pytest.raises(ConfigError, match=message):
        FCOSConfig().replace(**changes)
    with pytest.raises(ConfigError, match="must ascend"):
        PointMatchingConfig.from_data({"sizes_of_interest": [32, 16]})


def test_weights_of_boxes():
    made = head(loss=PointLossConfig(box_weighting="none", iou_offset=0))
    assignment = assigned(made, [target([[20, 20, 60, 52]], [51], size=128)])
    wanted = made._wanted(assignment)
    dense = Dense(torch.ones(1, 341, 4), torch.zeros(1, 341, 80), torch.zeros(1, 341, 0), torch.zeros(1, 341))
    expected = giou_loss(torch.ones(6, 4), wanted, 0).mean()
    torch.testing.assert_close(made.loss(dense, assignment, assignment.counts)["box"], expected)
