"""BlendMask's mask branch. Numbers in comments are those of the fact sheet on BlendMask."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import slow_blend
from tests.support.networks import TINY, TINY_POINTS, random_batch, tiny_model
from yolact.config import (
    BackboneConfig,
    BlendMaskConfig,
    FCOSConfig,
    FPNConfig,
    InferenceConfig,
    PointHeadConfig,
    PointLossConfig,
    PointMatchingConfig,
)
from yolact.config.base import ConfigError
from yolact.inference.engines.chosen_parameters import ParameterRows, cells_of
from yolact.models.build import build_model
from yolact.models.masks import build_branch
from yolact.models.masks.mask_branch import Instances, Truth
from yolact.models.one_stage.dense_head import rows
from yolact.ops.anchors import level_sizes
from yolact.ops.mask_assembly import assemble

SIDE = 128
SMALL = BlendMaskConfig(bases=3, attention=4, resolution=8, channels=16, convs=0)
INFERENCE = InferenceConfig()


def branch(config=SMALL, side=SIDE):
    torch.manual_seed(0)
    return build_branch(config, 8, side).eval()


def instances(boxes, parameters, side=SIDE, image=None):
    """Boxes in pixels of the input."""
    boxes, d = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4) / side, len(parameters)
    image = torch.zeros(d, dtype=torch.int64) if image is None else image
    return Instances(image, boxes, torch.zeros(d, dtype=torch.int64), torch.ones(d), parameters, torch.rand(d, 4))


def random_case(seed, config=SMALL, d=2, side=SIDE, images=1):
    """A branch, bases, and instances whose boxes may stick out of the image."""
    generator = torch.Generator().manual_seed(seed)
    made = branch(config, side)
    corner = (torch.rand(d, 2, generator=generator) * 1.1 - 0.1) * side
    boxes = torch.cat([corner, corner + (0.1 + torch.rand(d, 2, generator=generator) * 0.6) * side], 1)
    parameters = torch.randn(d, made.parameters_per_location, generator=generator) * 3
    cells = 2 * -(-side // 8)
    bases = torch.randn(images, config.bases, cells, cells, generator=generator) * 3
    return made, bases, instances(boxes, parameters, side)


def logits(made, bases, found):
    return made.blend(bases, found.image, found.boxes, found.parameters)


def truth_of(objects, boxes, masks, weights=None, side=SIDE):
    boxes = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4) / side
    labels = torch.zeros(len(boxes), dtype=torch.int64)
    masks = torch.as_tensor(masks, dtype=torch.uint8)
    return Truth(torch.as_tensor(objects), boxes, masks, [len(objects)], [0], labels, labels, weights)


def test_published_numbers_of_parameters():  # 28 to 30
    config = FCOSConfig(
        image_size=544,
        backbone=BackboneConfig(name="resnet50", weights=None, freeze_bn=True),
        fpn=FPNConfig(upsample="nearest", relu=False, extra_levels=1),
        head=PointHeadConfig(convs=0, shared_convs=3, scale_per_level=False),
        matching=PointMatchingConfig(sizes_of_interest=(64, 128, 256)),
        mask_branch=BlendMaskConfig(convs=2),
        loss=PointLossConfig(semantic=0.3, semantic_form="painted"),
    )
    with torch.device("meta"):
        model = build_model(config, 80, pretrained=False)
        longer = build_branch(BlendMaskConfig(), 256, 544)
    count = lambda *parts: sum(value.numel() for part in parts for value in part.parameters())  # noqa: E731
    assert count(model.head.mask) == 1_807_120 and tuple(model.head.mask.weight.shape) == (784, 256, 3, 3)
    assert count(model.head) - count(model.head.mask) == 1_967_701
    assert len(model.head.state_dict()) == 18 + 2
    assert count(model.branch, model.semantic) == 1_782_485
    assert len({**model.branch.state_dict(), **{f"s.{k}": v for k, v in model.semantic.state_dict().items()}}) == 52
    assert count(model) == 32_290_810 + 53_120
    assert count(longer, model.semantic) == 1_930_197
    assert {"tower.4.weight", "tower.3.0.weight", "refine.2.1.running_mean"} <= set(model.branch.state_dict())
    assert tuple(model.semantic.state_dict()["6.weight"].shape) == (81, 128, 1, 1)
    assert config.trains_batch_norm


def test_without_attention_bases_count_alike():  # 35
    made = branch(BlendMaskConfig(channels=16, convs=0))
    bases = torch.arange(1.0, 5)[None, :, None, None].expand(1, 4, 32, 32)
    found = instances([[20, 30, 70, 90]], torch.zeros(1, 784))
    torch.testing.assert_close(logits(made, bases, found), torch.full((1, 56, 56), 2.5))
    truth = truth_of([0], [[20, 30, 70, 90]], torch.ones(1, SIDE, SIDE))
    assert made.loss(found, (bases,), truth)["mask"].item() == pytest.approx(0.0788897, abs=1e-6)
    assert math.log1p(math.exp(-2.5)) == pytest.approx(0.0788897, abs=1e-7)
    for weight in (1.0, 0.3):
        truth = truth_of([0], [[20, 30, 70, 90]], torch.rand(1, SIDE, SIDE) < 0.5, torch.tensor([weight]))
        value = made.loss(found._replace(parameters=torch.randn(1, 784)), (bases * 0,), truth)["mask"] / weight
        assert value.item() == pytest.approx(math.log(2), rel=1e-6)


def test_attention_is_resized_before_the_softmax():  # 36
    made = branch(BlendMaskConfig(bases=2, attention=2, resolution=4, channels=16, convs=0))
    bases = torch.stack([torch.ones(32, 32), torch.zeros(32, 32)])[None]
    found = instances([[8, 8, 40, 40]], torch.tensor([[0.0, 4, 0, 4, 0, 0, 0, 0]]))
    row = logits(made, bases, found)[0, 0]
    torch.testing.assert_close(row, torch.tensor([0.5, 0.731059, 0.952574, 0.982014]), atol=1e-6, rtol=0)
    softmax_first = torch.nn.functional.interpolate(found.parameters.reshape(1, 2, 2, 2).softmax(1), size=4, mode="bilinear")
    assert (softmax_first[0, 0, 0] - row).abs().max() > 0.04
    nearest = branch(made.config.replace(attention_upsample="nearest"))
    assert logits(nearest, bases, found)[0, 0].tolist() == pytest.approx([0.5, 0.5, 0.982014, 0.982014], abs=1e-6)


def test_bases_are_read_at_the_centres_of_bins():  # 37
    made = branch(BlendMaskConfig(bases=1, channels=16, convs=0))
    ramp = (torch.arange(32) + 0.5).expand(1, 1, 32, 32)
    row = logits(made, ramp, instances([[16, 40, 72, 96]], torch.zeros(1, 196)))[0, 10]
    torch.testing.assert_close(row, torch.arange(4.125, 18, 0.25), atol=1e-5, rtol=0)
    assert row[:3].tolist() == [4.125, 4.375, 4.625] and row[-1].item() == 17.875


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([(4, 8), (1, 6), (3, 8), (6, 6)]), st.sampled_from([128, 60]))
def test_logits_as_the_slow_path(seed, sides, side):
    config = SMALL.replace(attention=sides[0], resolution=sides[1], bases=2)
    made, bases, found = random_case(seed, config, side=side)
    values, cells = logits(made, bases, found), bases.shape[-1]
    for i in range(2):
        attention = found.parameters[i].double().reshape(2, sides[0], sides[0]).numpy()
        box = (found.boxes[i].double() * cells).tolist()
        expected = slow_blend.blend(bases[0].double().numpy(), attention, box, sides[1])
        np.testing.assert_allclose(values[i], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_what_leaves_the_blend_as_it_is(seed):  # 38
    made, bases, found = random_case(seed)
    before = logits(made, bases, found)
    maps = found.parameters.reshape(2, 3, 16)
    shifted = found._replace(parameters=(maps + torch.randn(2, 1, 16)).flatten(1))
    torch.testing.assert_close(logits(made, bases, shifted), before, rtol=1e-4, atol=1e-5)
    order = torch.tensor([2, 0, 1])
    permuted = found._replace(parameters=maps[:, order].flatten(1))
    torch.testing.assert_close(logits(made, bases[:, order], permuted), before, rtol=1e-4, atol=1e-5)
    inside = found._replace(boxes=found.boxes.clamp(0, 1))
    torch.testing.assert_close(logits(made, bases + 7, inside), logits(made, bases, inside) + 7, rtol=1e-4, atol=1e-4)
    pooled = made._pool(bases, found.image, found.boxes)
    assert (before >= pooled.amin(1) - 1e-5).all() and (before <= pooled.amax(1) + 1e-5).all()


def test_moving_the_box_changes_the_mask():  # CondInst 40
    made, bases, found = random_case(3)
    assert not torch.allclose(logits(made, bases, found), logits(made, bases, found._replace(boxes=found.boxes * 0.9)))


def test_one_number_per_basis_is_yolacts_sum_in_the_box():  # 10, 40
    made, bases, found = random_case(1, SMALL.replace(attention=1))
    whole = torch.logit(assemble(bases[0], found.parameters.softmax(1)), eps=1e-6)
    expected = made._pool(whole[None], found.image, found.boxes)[torch.arange(2), torch.arange(2)]
    torch.testing.assert_close(logits(made, bases, found), expected, rtol=1e-3, atol=1e-3)
    linear = branch(SMALL.replace(attention=1, merge="sum"))
    as_it_is = torch.einsum("dk,dkhw->dhw", found.parameters, made._pool(bases, found.image, found.boxes))
    torch.testing.assert_close(logits(linear, bases, found), as_it_is)


def test_a_single_basis():  # 10
    config = SMALL.replace(bases=1)
    made, bases, found = random_case(2, config)
    torch.testing.assert_close(logits(made, bases, found), made._pool(bases, found.image, found.boxes)[:, 0])
    sigmoid = branch(config.replace(merge="sigmoid"))
    soft = logits(sigmoid, bases, found)
    attention = torch.nn.functional.interpolate(found.parameters.reshape(2, 1, 4, 4), size=8, mode="bilinear")[:, 0]
    torch.testing.assert_close(soft, made._pool(bases, found.image, found.boxes)[:, 0].sigmoid() * attention.sigmoid())
    truth = truth_of([0, 0], [[20, 30, 70, 90]], torch.zeros(1, SIDE, SIDE))
    value = sigmoid.loss(found, (bases,), truth)["mask"]
    boxes = truth.boxes.expand(2, 4)
    expected = -torch.log(1 - logits(sigmoid, bases, found._replace(boxes=boxes))).mean((1, 2)).sum()
    torch.testing.assert_close(value, expected)
    with pytest.raises(ConfigError, match=r"merge sigmoid is for one basis.* there are 4 bases"):
        BlendMaskConfig.from_data({"merge": "sigmoid"})


def test_targets_are_the_mask_in_its_own_box():  # 13, 39
    made, boxes = branch(SMALL, 64), torch.tensor([[10.0, 12, 42, 28], [3.5, 7.25, 60, 61]])
    masks = torch.zeros(2, 64, 64, dtype=torch.uint8)
    masks[0, 12:28, 10:42] = 1
    masks[1] = torch.rand(64, 64, generator=torch.Generator().manual_seed(0)).round().to(torch.uint8)
    masks[1, 20:, :30] = 1
    found = made.targets(masks, boxes / 64)
    assert found[0].eq(1).all() and found.unique().tolist() == [0, 1]
    for mask, box, own in zip(masks, boxes, found, strict=True):
        covered = slow_blend.pool(mask.double().numpy(), box.tolist(), 8, None)
        clear = np.abs(covered - 0.5) > 1e-6
        np.testing.assert_array_equal(own.numpy()[clear], (covered >= 0.5)[clear])
    half = torch.zeros(1, 64, 64, dtype=torch.uint8)
    half[0, :, 1::2] = 1  # every bin of two pixels is covered by one half: it counts
    assert made.targets(half, torch.tensor([[0, 0, 16, 16]]) / 64).eq(1).all()


def test_loss_as_the_slow_path_over_images():  # 11, 12, 14
    made, bases, found = random_case(5, d=4, side=64, images=2)
    found = found._replace(image=torch.tensor([0, 0, 1, 1]))
    boxes = torch.tensor([[5.0, 6, 30, 40], [20, 20, 64, 50], [0, 0, 63, 63]])
    masks = (torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(1)) < 0.6).to(torch.uint8)
    objects, weights = torch.tensor([1, 0, 2, 2]), torch.tensor([0.2, 0.9, 0.5, 1.0])
    labels, owner = torch.zeros(3, dtype=torch.int64), torch.tensor([0, 0, 1])
    truth = Truth(objects, boxes / 64, masks, [2, 2], [0, 1], labels, owner, weights)
    expected, targets = 0.0, made.targets(masks, truth.boxes)
    for i, (own, weight) in enumerate(zip(objects.tolist(), weights.tolist(), strict=True)):
        attention = found.parameters[i].double().reshape(3, 4, 4).numpy()
        box = (boxes[own].double() / 4).tolist()
        value = slow_blend.blend(bases[found.image[i]].double().numpy(), attention, box, 8)
        expected += weight * slow_blend.cross_entropy(value, targets[own])
    assert made.loss(found, (bases,), truth)["mask"].item() == pytest.approx(expected, rel=1e-5)


def blend_model(base=TINY_POINTS, **changes):
    return tiny_model(base.replace(mask_branch=SMALL.replace(**changes)))


def test_an_object_counts_once_however_many_locations_it_has():  # 39
    """With equal weights, n equal locations divided by the sum of weights give the loss at one."""
    made, bases, found = random_case(6, d=1)
    truth = truth_of([0], [[20, 30, 70, 90]], torch.ones(1, SIDE, SIDE), torch.tensor([0.4]))
    once = made.loss(found, (bases,), truth)["mask"] / 0.4
    five = Instances(*(part.expand(5, *part.shape[1:]) for part in found))
    truth = truth_of([0] * 5, [[20, 30, 70, 90]], torch.ones(1, SIDE, SIDE), torch.full((5,), 0.4))
    torch.testing.assert_close(made.loss(five, (bases,), truth)["mask"] / 2.0, once)


def test_the_mask_loss_is_divided_as_the_box_loss():  # 14
    model, (images, targets) = blend_model(), random_batch(0)
    assignment = model.assign(targets)
    counts = {**assignment.counts, "centerness": 2 * assignment.counts["centerness"]}
    whole, halved = model.loss(images, assignment), model.loss(images, assignment, counts)
    for name in ("mask", "box"):
        torch.testing.assert_close(halved[name], whole[name] / 2)
    torch.testing.assert_close(halved["class"], whole["class"])
    weights = model.head.weights(assignment)
    assert weights.sum().item() == pytest.approx(assignment.counts["centerness"]) and 0 < weights.min() < weights.max() <= 1


def test_anchors_have_no_centerness_so_that_all_count_alike():
    model, (images, targets) = blend_model(TINY), random_batch(0)
    assignment = model.assign(targets)
    assert model.head.weights(assignment).eq(1).all()
    whole = model.loss(images, assignment)["mask"]
    twice = model.loss(images, assignment, {**assignment.counts, "positives": 2 * assignment.counts["positives"]})["mask"]
    torch.testing.assert_close(twice, whole / 2)


def test_gradient_reaches_attention_at_positive_locations_only():  # 39
    model, (images, targets) = blend_model(), random_batch(0)
    assignment, raw = model.assign(targets), model(images)
    raw.dense.parameters.retain_grad()
    model.criterion(raw, assignment)["mask"].backward()
    touched = raw.dense.parameters.grad.abs().sum(2) > 0
    expected = torch.zeros_like(touched)
    expected[assignment.image, assignment.location] = True
    assert torch.equal(touched, expected) and 0 < expected.sum() < expected.numel()


def test_attention_of_survivors_alone_equals_the_dense_one():  # 40
    model = blend_model(TINY).eval()
    images, _ = random_batch(1)
    with torch.no_grad():
        levels = model.fpn(model.backbone(images))
        features = [torch.relu(model.head.shared[0](level)) for level in levels]
        dense = torch.cat([rows(model.head.mask(each), 48) for each in features], 1)[0]
        chosen = ParameterRows(model.head.mask, 48, level_sizes(64, 5), model.branch.activate)
        at = torch.arange(0, 258, 3)  # borders and corners of all levels among them
        torch.testing.assert_close(chosen(cells_of(features)[0], at), dense[at], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("clip", "edge"), [("after_pooling", 32 + 96 * (64 - 32) // 128), ("before_pooling", 64)])
def test_boxes_that_stick_out_of_the_image(clip, edge):  # 18, 20, 42
    """The basis changes its sign at x = 64. The box ends at 160 in an image of 128, into which it is squeezed."""
    made = branch(BlendMaskConfig(bases=1, channels=16, convs=0, clip_boxes=clip))
    ramp = (torch.arange(32) - 15.5).expand(1, 32, 32)
    (mask,) = made.masks(instances([[32, 0, 160, 128]], torch.zeros(1, 196)), (ramp,), (SIDE, SIDE), INFERENCE).masks
    assert mask[64].nonzero()[0].item() == edge and mask[64, edge : edge + 30].all()


def test_masks_as_the_slow_path():  # 18, 19
    made, bases, found = random_case(8, d=3)
    masks = made.masks(found, (bases[0],), (50, 70), INFERENCE).masks
    assert masks.shape == (3, 50, 70) and masks.dtype == torch.bool and 0 < masks.float().mean() < 1
    values = logits(made, bases, found).double().sigmoid().numpy()
    for i in range(3):
        x1, y1, x2, y2 = (found.boxes[i].double().clamp(0, 1) * torch.tensor([70, 50, 70, 50])).tolist()
        expected = slow_blend.paste(values[i], (x1, y1, x2, y2), (50, 70))
        clear = np.abs(expected - 0.5) > 1e-4
        np.testing.assert_array_equal(masks[i].numpy()[clear], (expected >= 0.5)[clear])


def test_nothing_found_and_nothing_to_learn():  # 42
    made, bases, found = random_case(9)
    none = Instances(*(part[:0] for part in found))
    assert made.masks(none, (bases[0],), (30, 40), INFERENCE).masks.shape == (0, 30, 40)
    bases.requires_grad_(True)
    none.parameters.requires_grad_(True)
    empty = truth_of(torch.zeros(0, dtype=torch.int64), [], torch.zeros(0, SIDE, SIDE), torch.zeros(0))
    value = made.loss(none, (bases,), empty)["mask"]
    value.backward()
    assert value.item() == 0 and not bases.grad.any()
    model = blend_model()
    images, targets = random_batch(0, n=0)
    assert all(torch.isfinite(term) for term in model.loss(images, model.assign(targets)).values())


def test_bases_of_550_pixels():  # 33, 42
    made = branch(SMALL, 550)
    (bases,) = made.context([torch.rand(1, 8, side, side) for side in (69, 35, 18)])
    assert bases.shape == (1, 3, 138, 138) and (bases < 0).any()
    ramp = (torch.arange(138) + 0.5).expand(1, 3, 138, 138)
    row = logits(made, ramp, instances([[55, 0, 495, 110]], torch.zeros(1, 48), 550))[0, 0]
    scale = 138 / 550
    torch.testing.assert_close(row, (55 + (torch.arange(8) + 0.5) * 55) * scale, rtol=1e-5, atol=1e-4)
