"""Masks as rectangles do what dense masks do."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from yolact.data.patches import Patches
from yolact.ops import rle


def masks(seed, n=3, height=23, width=31):
    """Random blobs: some tiny, some at the border, one empty."""
    random = np.random.RandomState(seed)
    found = np.zeros((n, height, width), np.uint8)
    for mask in found[:-1]:
        top, left = random.randint(0, height), random.randint(0, width)
        inside = mask[top : top + random.randint(1, height + 1), left : left + random.randint(1, width + 1)]
        inside[:] = random.rand(*inside.shape) < 0.7
    return found


SEEDS = st.integers(0, 2**31 - 1)


@given(SEEDS)
def test_dense_gives_back_what_went_in(seed):
    dense = masks(seed)
    assert np.array_equal(Patches.of(dense).dense(), dense)
    rles = [{**each, "counts": each["counts"].encode()} for each in rle.encode(dense)]
    assert np.array_equal(Patches.of_rles(rles, 23, 31).dense(), dense)


@given(SEEDS, st.tuples(*[st.integers(0, 9)] * 4))
def test_moves_are_those_of_dense_masks(seed, sides):
    dense, patches = masks(seed), Patches.of(masks(seed))
    left, top, right, bottom = sides
    padded = np.pad(dense, ((0, 0), (top, bottom), (left, right)))
    assert np.array_equal(patches.padded(left, top, right, bottom).dense(), padded)
    assert np.array_equal(patches.mirrored().dense(), dense[:, :, ::-1])
    window = patches.cut(top, left, 23 - bottom, 31 - right)
    assert np.array_equal(window.dense(), dense[:, top : 23 - bottom, left : 31 - right])
    assert np.array_equal(window.mirrored().dense(), dense[:, top : 23 - bottom, left : 31 - right][:, :, ::-1])
    assert np.array_equal(patches.kept([True, False, True]).dense(), dense[[0, 2]])


def interpolated(dense, side):
    return functional.interpolate(torch.from_numpy(dense).float()[None], (side, side), mode="bilinear")[0]


@settings(max_examples=150)
@given(SEEDS, st.integers(1, 70), st.integers(1, 60), st.integers(1, 60))
def test_squashing_is_torchs_interpolation_cut_at_one_half(seed, side, height, width):
    dense = masks(seed, height=height, width=width)
    smooth = interpolated(dense, side)
    clear = (smooth - 0.5).abs() > 1e-6
    assert torch.equal(Patches.of(dense).squashed(side).bool()[clear], (smooth >= 0.5)[clear])


def test_rounding_hardly_ever_moves_a_pixel():
    different = [
        (
            Patches.of(masks(seed, height=97, width=83)).squashed(side).bool()
            != (interpolated(masks(seed, height=97, width=83), side) >= 0.5)
        )
        for seed in range(10)
        for side in (32, 69, 128, 138)
    ]
    assert sum(int(each.sum()) for each in different) <= 1e-5 * sum(each.numel() for each in different)


@pytest.mark.parametrize("side", [1, 5, 40])
def test_nothing_stays_nothing(side):
    assert Patches.of(np.zeros((0, 4, 6), np.uint8)).squashed(side).shape == (0, side, side)
    assert not Patches.of(np.zeros((2, 4, 6), np.uint8)).squashed(side).any()
