"""CondInst's mask branch. Numbers in comments are those of the fact sheet on CondInst."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import slow_dynamic
from tests.support.networks import random_target
from yolact.config import DynamicMaskConfig, InferenceConfig
from yolact.models.masks import build_branch
from yolact.models.masks.condinst import dice_loss
from yolact.models.masks.mask_branch import Instances, Truth

SIDE = 128
PLAIN = DynamicMaskConfig(channels=16, convs=1)


def branch(config=PLAIN, side=SIDE, channels=8):
    torch.manual_seed(0)
    return build_branch(config, channels, side).eval()


def instances(parameters, xy=((36, 20),), stride=8, side=SIDE, image=None, boxes=None):
    parameters = torch.as_tensor(parameters, dtype=torch.float32)
    d = len(parameters)
    locations = torch.tensor([[x / side, y / side, stride / side, stride / side] for x, y in xy]).reshape(-1, 4).expand(d, 4)
    boxes = torch.rand(d, 4) if boxes is None else boxes
    image = torch.zeros(d, dtype=torch.int64) if image is None else image
    return Instances(image, boxes, torch.zeros(d, dtype=torch.int64), torch.ones(d), parameters, locations)


def random_case(seed, d=3, config=PLAIN, side=SIDE):
    generator = torch.Generator().manual_seed(seed)
    made = branch(config, side)
    parameters = torch.randn(d, made.parameters_per_location, generator=generator)
    xy = (torch.rand(d, 2, generator=generator) * side).tolist()
    cells = -(-side // 8)
    return made, instances(parameters, xy, side=side), torch.randn(config.features, cells, cells, generator=generator)


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"depth": 1}, 11),
        ({"depth": 2}, 97),
        ({}, 169),
        ({"depth": 4}, 241),
        ({"width": 2}, 31),
        ({"width": 4}, 69),
        ({"width": 16}, 465),
        ({"features": 16}, 233),
        ({"depth": 1, "coordinates": False, "features": 32}, 33),
    ],
)
def test_parameters_per_location(changes, count):  # 7
    config = DynamicMaskConfig(**changes)
    assert branch(config).parameters_per_location == count
    made, found, features = random_case(1, config=PLAIN.replace(**changes))
    assert made.logits(found.parameters, found.locations, features).shape == (3, 16, 16)


def test_the_worked_object():  # 37
    parameters = torch.zeros(1, 169)
    parameters[0, [0, 80, 144, 168]] = torch.tensor([1, 1, 2, -0.5])
    made, found = branch(), instances(parameters)
    logits = made.logits(found.parameters, found.locations, torch.zeros(8, 16, 16))
    at_stride_4 = made._upsample(logits[:, None], 2)[0, 0]
    expected = [0.5, 0.5, 0.375, 0.25, 0.125, 0, -0.125, -0.25, -0.375] + [-0.5] * 23
    np.testing.assert_allclose(at_stride_4, np.tile(expected, (32, 1)), atol=1e-6)


def test_half_pixel_upsampling_leaves_values_in_their_place():  # 11
    """A logit that falls by 1/8 per pixel crosses 0 at x = 32 at the output stride, whose cell i is centred at 4 i + 2."""
    ramp = 4 - (torch.arange(16) + 0.5).expand(1, 1, 16, 16)
    for mode, zero in (("half_pixel", 32), ("aligned", 34)):
        row = branch(PLAIN.replace(upsample=mode))._upsample(ramp, 2)[0, 0, 8]
        x = torch.arange(32) * 4 + 2
        crossing = x[7] + (x[8] - x[7]) * row[7] / (row[7] - row[8])
        assert crossing.item() == pytest.approx(zero)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**31),
    st.sampled_from([1, 2, 3]),
    st.booleans(),
    st.sampled_from([8, 32]),
    st.sampled_from([48, 60]),
)
def test_logits_as_the_slow_path(seed, depth, coordinates, stride, side):
    config = PLAIN.replace(depth=depth, coordinates=coordinates, features=3, width=4)
    made, found, features = random_case(seed, 2, config, side)
    found = found._replace(locations=torch.cat([found.locations[:, :2], torch.full((2, 2), stride / side)], 1))
    logits = made.logits(found.parameters, found.locations, features)
    upsampled = made._upsample(logits[:, None], 2)[:, 0]
    for i in range(2):
        place = (found.locations[i, :2].double() * side).tolist()
        unit = 8 * stride if coordinates else None
        expected = slow_dynamic.logits(found.parameters[i], config.layers, features.double().numpy(), place, unit)
        np.testing.assert_allclose(logits[i], expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(upsampled[i], slow_dynamic.aligned(expected, 2), rtol=1e-4, atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31))
def test_as_a_grouped_convolution(seed):  # 32, 39
    made, found, features = random_case(seed)
    d, cells = 3, 16
    grid = torch.stack(torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="xy")) * 8.0 + 4
    relative = ((found.locations[:, :2] * SIDE)[:, :, None, None] - grid) / 64
    x = torch.cat([relative, features.expand(d, -1, -1, -1)], 1).reshape(1, -1, cells, cells)
    parts = found.parameters.split([80, 64, 8, 8, 8, 1], 1)
    for number, (weight, bias, inputs) in enumerate(zip(parts[:3], parts[3:], (10, 8, 8), strict=True)):
        x = torch.nn.functional.conv2d(x, weight.reshape(-1, inputs, 1, 1), bias.reshape(-1), groups=d)
        x = x.relu() if number < 2 else x
    logits = made.logits(found.parameters, found.locations, features)
    torch.testing.assert_close(logits, x[0], rtol=1e-4, atol=1e-4)


def test_each_mask_is_its_own():  # 39
    made, found, features = random_case(2)
    whole = made.logits(found.parameters, found.locations, features)
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(made.logits(found.parameters[order], found.locations[order], features), whole[order])
    for i in range(3):
        torch.testing.assert_close(made.logits(found.parameters[i : i + 1], found.locations[i : i + 1], features)[0], whole[i])


def test_shifting_image_and_location_shifts_the_logits():  # 39
    made, found, features = random_case(3)
    shifted = found.locations + torch.tensor([16 / SIDE, 8 / SIDE, 0, 0])
    moved = made.logits(found.parameters, shifted, features.roll((1, 2), (1, 2)))
    still = made.logits(found.parameters, found.locations, features)
    torch.testing.assert_close(moved[:, 1:, 2:], still[:, :-1, :-2], rtol=1e-4, atol=1e-4)


def test_permuting_features_with_their_weights_changes_nothing():  # 41
    made, found, features = random_case(4)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    first = found.parameters[:, :80].reshape(3, 8, 10)
    first = torch.cat([first[:, :, :2], first[:, :, 2 + order]], 2)
    permuted = torch.cat([first.flatten(1), found.parameters[:, 80:]], 1)
    expected = made.logits(found.parameters, found.locations, features)
    torch.testing.assert_close(made.logits(permuted, found.locations, features[order]), expected, rtol=1e-4, atol=1e-4)


def test_masks_do_not_read_boxes():  # 40
    made, found, features = random_case(5)
    inference = InferenceConfig()
    one = made.masks(found, (features,), (90, 110), inference).masks
    other = made.masks(found._replace(boxes=torch.rand(3, 4)), (features,), (90, 110), inference).masks
    assert one.shape == (3, 90, 110) and one.dtype == torch.bool and 0 < one.float().mean() < 1
    assert torch.equal(one, other)
    assert made.masks(
        found._replace(**{n: v[:0] for n, v in found._asdict().items()}), (features,), (9, 11), inference
    ).masks.shape == (0, 9, 11)


def test_the_crop_of_yolact():
    """The bridge to YOLACT: nothing of a mask lies outside its box, but for the pixel of padding at the output stride."""
    made, found, features = random_case(5, config=PLAIN.replace(crop=True, output_stride=4))
    whole = branch()
    boxes = torch.tensor([[0.25, 0.25, 0.5, 0.75], [0.5, 0, 1, 0.5], [0, 0, 1, 1]])
    found = found._replace(boxes=boxes)
    cropped, before = (each.masks(found, (features,), (SIDE, SIDE), InferenceConfig()).masks for each in (made, whole))
    outside = torch.ones(128, 128, dtype=torch.bool)
    outside[20:108, 20:76] = False  # 8 pixels: one of padding, and what upsampling spreads
    assert before[0][outside].any() and not cropped[0][outside].any()
    assert torch.equal(cropped[0, 36:92, 36:60], before[0, 36:92, 36:60]) and torch.equal(cropped[2], before[2])
    labels, owner = torch.tensor([0, 1]), torch.tensor([0, 0])
    masks = torch.zeros(2, SIDE, SIDE, dtype=torch.uint8)
    truth = Truth(torch.tensor([0, 0, 1]), boxes[:2], masks, (3,), (0,), labels, owner)
    truth.masks[0, 32:96, 32:64] = 1
    truth.masks[1, :64, 64:] = 1
    assert made.loss(found, (features[None],), truth)["mask"] < whole.loss(found, (features[None],), truth)["mask"]
    assert "crop" not in DynamicMaskConfig().to_data()


def test_masks_as_the_slow_path_and_in_chunks(monkeypatch):  # 20
    made, found, features = random_case(6, config=PLAIN.replace(features=3), side=60)
    whole = made.masks(found, (features,), (60, 60), InferenceConfig()).masks
    for i in range(3):
        place = (found.locations[i, :2] * 60).tolist()
        logits = slow_dynamic.logits(found.parameters[i], made.config.layers, features.double().numpy(), place, 64)
        soft = slow_dynamic.aligned(1 / (1 + np.exp(-slow_dynamic.aligned(logits, 2))), 4)[:60, :60]
        clear = np.abs(soft - 0.5) > 1e-4
        assert (whole[i].numpy() == (soft > 0.5))[clear].all()
    monkeypatch.setattr("yolact.ops.masks._CHUNK_PIXELS", 1)
    assert torch.equal(made.masks(found, (features,), (60, 60), InferenceConfig()).masks, whole)


@pytest.mark.parametrize(
    ("made", "wanted", "loss"),
    [
        pytest.param([0.5, 0.5], [1.0, 0.0], 1 / 3, id="halves"),
        pytest.param([1.0] * 4, [1.0] * 4, 1.2e-6, id="equal"),
        pytest.param([0.0] * 4, [0.0] * 4, 1, id="an empty mask costs 1"),
        pytest.param([0.5] * 1024, [1.0] * 100 + [0.0] * 924, 0.7191, id="all one half"),
    ],
)
def test_dice(made, wanted, loss):  # 38
    value = dice_loss(torch.tensor([[made]]), torch.tensor([[wanted]])).item()
    assert value == pytest.approx(loss, rel=1e-4, abs=5e-7)
    assert value == pytest.approx(slow_dynamic.dice(made, wanted), abs=1e-6)


def batch(seed, config=PLAIN, side=64, per_image=(3, 0, 2)):
    """A branch, instances of three images, mask features, and the truth, two objects in each image."""
    generator = torch.Generator().manual_seed(seed)
    made = branch(config, side)
    targets = [random_target(generator, 2, size=side, image_id=i) for i in range(len(per_image))]
    d = sum(per_image)
    parameters = torch.randn(d, made.parameters_per_location, generator=generator)
    xy = torch.rand(d, 2, generator=generator) * side
    image = torch.repeat_interleave(torch.arange(len(per_image)), torch.tensor(per_image))
    found = instances(parameters, xy.tolist(), side=side, image=image)
    objects = image * 2 + torch.randint(0, 2, (d,), generator=generator)
    truth = Truth(
        objects,
        torch.cat([t.boxes for t in targets]) / side,
        torch.cat([t.masks for t in targets]),
        per_image,
        [seed + i for i in range(len(per_image))],
        torch.cat([t.labels for t in targets]),
        torch.arange(len(targets)).repeat_interleave(2),
    )
    cells = -(-side // 8)
    return made, found, torch.randn(len(per_image), config.features, cells, cells, generator=generator), truth


@pytest.mark.parametrize(("side", "stride"), [(64, 4), (60, 4), (64, 2), (64, 1), (64, 8)])
def test_loss_as_the_slow_path(side, stride):  # 14, 15
    config = PLAIN.replace(features=3, output_stride=stride)
    made, found, features, truth = batch(0, config, side)
    expected = 0
    for i in range(5):
        place = (found.locations[i, :2] * side).tolist()
        own = features[found.image[i]].double().numpy()
        logits = slow_dynamic.aligned(slow_dynamic.logits(found.parameters[i], config.layers, own, place, 64), 8 // stride)
        mask = truth.masks[truth.objects[i]].numpy()[stride // 2 :: stride, stride // 2 :: stride]
        expected += slow_dynamic.dice(1 / (1 + np.exp(-logits[: len(mask), : len(mask)])), mask)
    assert made.loss(found, (features,), truth)["mask"].item() == pytest.approx(expected, rel=1e-4)


def test_the_cap_is_unbiased_and_seeded():  # 42
    config = PLAIN.replace(max_masks_per_image=2)
    capped, found, features, truth = batch(1, config, per_image=(6, 1, 3))
    whole = branch(side=64).loss(found, (features,), truth)["mask"].item()
    values = []
    for seed in range(300):
        again = replace(truth, seeds=[seed, seed + 1000, seed + 2000])
        values.append(capped.loss(found, (features,), again)["mask"].item())
    assert np.mean(values) == pytest.approx(whole, rel=0.02)
    assert np.std(values) > 0
    assert capped.loss(found, (features,), again)["mask"].item() == values[-1]


def test_loss_without_instances_is_zero_in_the_graph():
    made, found, features, truth = batch(2, per_image=(0, 0))
    features.requires_grad_(True)
    loss = made.loss(found, (features,), truth)["mask"]
    loss.backward()
    assert loss.item() == 0 and not features.grad.any()


def test_mask_features_of_sides_that_32_does_not_divide():
    """A finer level has twice as many cells as the next, or one fewer; cells stay above those of the same pixels."""
    made = branch(PLAIN, 550)
    levels = [torch.rand(1, 8, side, side) for side in (69, 35, 18)]
    (features,) = made.context(levels)
    assert features.shape == (1, 8, 69, 69)
