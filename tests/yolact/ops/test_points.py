"""FCOS's points. Numbers in comments are those of the fact sheets on FCOS (F) and CondInst (C)."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.fcos import FCOS

from tests.reference import slow_points
from yolact.ops.anchors import level_sizes, make_points
from yolact.ops.masks import centres_of_mass
from yolact.ops.points import centerness, decode, encode, match_points, points_of

SIDE, SIZES = 128, (64, 128, 256, 512)
LOCATIONS = make_points(SIDE, level_sizes(SIDE, 5))
BOX = (20, 20, 60, 52)
SIX = [(36, 28), (44, 28), (36, 36), (44, 36), (36, 44), (44, 44)]


def run(boxes, labels=None, crowds=(), centres=None, radius=1.5, locations=LOCATIONS, side=SIDE, sizes=SIZES):
    boxes = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    labels = torch.arange(len(boxes)) if labels is None else torch.as_tensor(labels, dtype=torch.int64)
    crowds = torch.as_tensor(crowds, dtype=torch.float32).reshape(-1, 4)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 if centres is None else torch.as_tensor(centres)
    return match_points(boxes, labels, crowds, centres, points_of(locations, side, sizes), radius)


def where(found):
    """x, y, stride of the positives."""
    return [tuple(row) for row in (LOCATIONS[found.positive, :3] * SIDE).round().int().tolist()]


def test_points_of_a_square_of_128():  # F51
    pixels = (LOCATIONS * SIDE).tolist()
    assert len(pixels) == 341
    starts = [0, 256, 320, 336, 340]
    assert [pixels[i][:2] for i in starts] == [[4, 4], [8, 8], [16, 16], [32, 32], [64, 64]]
    assert [pixels[i][:2] for i in [255, 319, 335, 339, 340]] == [[124, 124], [120, 120], [112, 112], [96, 96], [64, 64]]
    assert [pixels[i][2:] for i in starts] == [[8, 8], [16, 16], [32, 32], [64, 64], [128, 128]]
    assert pixels[1][:2] == [12, 4], "rows first"


@pytest.mark.parametrize("side", [128, 400, 550, 800])
def test_points_are_whole_pixels_again_after_the_fraction(side):
    made = points_of(make_points(side, level_sizes(side, 5)), side, SIZES)
    expected = slow_points.points(side, [8, 16, 32, 64, 128])
    assert torch.cat([made.xy, made.stride[:, None]], 1).tolist() == [list(map(float, each)) for each in expected]


def test_a_box_has_the_six_points_of_its_centre_region():  # F52
    found = run([BOX], [7])
    assert where(found) == [(x, y, 8) for x, y in SIX]
    assert set(found.classes[found.positive].tolist()) == {8}
    targets = encode(torch.tensor(BOX) / SIDE, LOCATIONS[found.positive])
    assert targets[0].tolist() == [2, 1, 3, 3]
    c = centerness(targets)
    np.testing.assert_allclose(c, [0.4714, 0.4714, 0.8165, 0.8165, 0.4714, 0.4714], atol=5e-5)
    assert c.sum().item() == pytest.approx(3.5186, abs=5e-5)


def test_the_smaller_of_two_boxes_takes_all():  # F53
    found = run([BOX, (28, 24, 52, 48)])
    assert where(found) == [(x, y, 8) for x, y in SIX]
    assert set(found.classes[found.positive].tolist()) == {2}


def test_the_centre_of_mass_moves_the_region():  # F53: 20..30 x 20..52 and a strip, mass centre (27.66, 37.87)
    found = run([BOX], centres=[[27.66, 37.87]])
    assert where(found) == [(x, y, 8) for y in (28, 36, 44) for x in (28, 36)]


def test_centres_of_mass_are_of_whole_pixels():
    masks = torch.zeros(3, 6, 9, dtype=torch.uint8)
    masks[0, 2:4, 1:8] = 1
    masks[1, :, 0] = 1
    masks[1, 5, 5] = 1
    made = centres_of_mass(masks)
    np.testing.assert_allclose(made[0], slow_points.mass_centre(masks[0].tolist()))
    np.testing.assert_allclose(made[1], slow_points.mass_centre(masks[1].tolist()), rtol=1e-6)
    assert made[0].tolist() == [4, 2.5] and made[2].isnan().all()


def test_a_large_object_is_met_on_a_coarse_level_only():
    assert {stride for _, _, stride in where(run([(52, 4, 180, 116)], centres=[(64, 60)]))} == {16}


@pytest.mark.parametrize(
    ("ends", "strides"),
    [
        pytest.param((68, 72, 80, 96), {8, 16, 32, 64}, id="upper ends belong to the range"),
        pytest.param((67.9, 71.9, 79.9, 95.9), set(), id="just below"),
        pytest.param((40, 72, 90, 91), {16, 32}, id="72 is an upper end"),
        pytest.param((72, 80, 90, 91), {8, 16, 32}, id="72 and 80 are an upper and a lower end"),
    ],
)
def test_ends_of_ranges(ends, strides):
    """The points next to (64, 64) have largest distances 68, 72, 80, 96, 64 on P3 to P7."""
    assert {stride for _, _, stride in where(run([(0, 0, 128, 128)], sizes=ends))} == strides


def test_an_object_between_the_points_has_none():
    assert not run([(5, 5, 11, 11)]).positive.any()


def test_without_a_region_every_point_inside_counts():
    assert len(where(run([(32, 32, 64, 64)], radius=None))) == 16
    assert len(where(run([(32, 32, 64, 64)]))) == 4


def test_points_in_crowds_are_neutral_and_only_background_is():
    found = run([BOX], [0], crowds=[(0, 0, 40, 40)])
    assert where(found) == [(x, y, 8) for x, y in SIX]
    neutral = (LOCATIONS[found.classes == -1, :2] * SIDE).tolist()
    assert neutral and all(0 < x < 40 and 0 < y < 40 for x, y in neutral)
    assert set(run([], [], crowds=[(0, 0, 40, 40)]).classes.tolist()) == {-1, 0}


def test_no_objects_are_all_background():
    assert set(run([]).classes.tolist()) == {0}


SCENES = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(0, 2), st.sampled_from([64, 100, 128]))


@settings(max_examples=60, deadline=None)
@given(SCENES, st.sampled_from([0.5, 1.5, 3.0]), st.booleans())
def test_as_the_slow_path(scene, radius, own_centres):
    seed, n, crowds, side = scene
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, side - 4, (n + crowds, 2))
    boxes = np.concatenate([corner, np.minimum(corner + rng.integers(2, side, (n + crowds, 2)), side)], 1).astype(float)
    labels = rng.integers(0, 5, n)
    centres = corner[:n] + rng.uniform(0, 1, (n, 2)) * (boxes[:n, 2:] - corner[:n]) if own_centres else None
    sizes, strides = (16, 32), [8, 16, 32]
    expected = slow_points.assign(
        side,
        strides,
        sizes,
        boxes[:n].tolist(),
        labels.tolist(),
        boxes[n:].tolist(),
        radius,
        None if centres is None else centres.tolist(),
    )
    locations = make_points(side, level_sizes(side, 3)).double()
    given_centres = torch.as_tensor((boxes[:n, :2] + boxes[:n, 2:]) / 2 if centres is None else centres)
    made = match_points(
        torch.as_tensor(boxes[:n]),
        torch.as_tensor(labels),
        torch.as_tensor(boxes[n:]),
        given_centres,
        points_of(locations, side, sizes),
        radius,
    )
    assert made.classes.tolist() == [row[0] for row in expected]
    positive = [i for i, row in enumerate(expected) if row[0] > 0]
    assert made.objects[positive].tolist() == [expected[i][1] for i in positive]
    targets = encode(torch.as_tensor(boxes[:n])[made.objects[positive]] / side, locations[positive])
    np.testing.assert_allclose(targets, np.array([expected[i][2] for i in positive]).reshape(-1, 4), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(centerness(targets), [expected[i][3] for i in positive], rtol=1e-4)
    back = decode(targets, locations[positive]) * side
    np.testing.assert_allclose(back, torch.as_tensor(boxes[:n])[made.objects[positive]], atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_as_torchvision(seed, n):  # F56; ranges of P3 to P7 are (0, 64), (64, 128), ..., areas 16 apart, no distance at an end
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, SIDE - 8, (n, 2)) + 0.25
    boxes = np.concatenate([corner, np.minimum(corner + rng.integers(4, SIDE, (n, 2)), SIDE - 0.5)], 1)
    areas = np.sort((boxes[:, 2:] - boxes[:, :2]).prod(1))
    if n > 1 and np.diff(areas).min() < 16:
        return
    boxes = torch.as_tensor(boxes, dtype=torch.float32)
    pixels = LOCATIONS * SIDE
    anchors = torch.cat([pixels[:, :2] - pixels[:, 2:] / 2, pixels[:, :2] + pixels[:, 2:] / 2], 1)
    caught = {}
    stub = SimpleNamespace(
        center_sampling_radius=1.5,
        head=SimpleNamespace(compute_loss=lambda targets, outputs, anchors, matched: caught.update(matched=matched[0])),
    )
    counts = [side[0] * side[1] for side in level_sizes(SIDE, 5)]
    FCOS.compute_loss(stub, [{"boxes": boxes, "labels": torch.arange(n)}], {}, [anchors], counts)
    made = run(boxes)
    assert torch.where(made.positive, made.objects, -1).tolist() == caught["matched"].tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
def test_the_order_of_objects_of_different_areas_is_nothing(seed, n):  # F57
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 100, (n, 2))
    boxes = torch.as_tensor(np.concatenate([corner, corner + rng.uniform(4, 28, (n, 2))], 1), dtype=torch.float32)
    order = torch.as_tensor(rng.permutation(n))
    assert torch.equal(run(boxes[order], order).classes, run(boxes, torch.arange(n)).classes)


def test_centerness_of_worked_distances():  # F15
    values = torch.tensor([[2.0, 1, 3, 3], [1, 1, 1, 1], [1, 4, 3, 4]])
    np.testing.assert_allclose(centerness(values), [math.sqrt(2 / 9), 1, math.sqrt(1 / 3)], rtol=1e-6)
