"""The three mask forms agree with pycocotools, and nothing malformed reaches its C code."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco_mask

from yolact.data.patches import Patches
from yolact.data.segmentation import segmentation_fault, to_rle
from yolact.data.synthetic.shapes import _run_lengths

masks = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 1))


def _decoded(rles, height, width):
    return Patches.of_rles(rles, height, width).dense().numpy()


@given(masks)
def test_both_rle_forms_round_trip(mask):
    height, width = mask.shape
    if not mask.any():
        return
    compressed = coco_mask.encode(np.asfortranarray(mask))["counts"].decode()
    for segmentation in ({"size": [height, width], "counts": compressed}, _run_lengths(mask.astype(bool))):
        assert segmentation_fault(segmentation, height, width) is None
        assert np.array_equal(_decoded([to_rle(segmentation, height, width)], height, width)[0], mask)


@given(st.text(max_size=12), st.integers(1, 9), st.integers(1, 9))
def test_any_counts_string_is_sound_or_refused(counts, height, width):
    segmentation = {"size": [height, width], "counts": counts}
    if segmentation_fault(segmentation, height, width) is None:
        assert _decoded([to_rle(segmentation, height, width)], height, width).sum() > 0


def test_polygons_of_several_parts():
    mask = _decoded([to_rle([[0, 0, 4, 0, 4, 4, 0, 4], [6, 6, 9, 6, 9, 9, 6, 9]], 10, 10)], 10, 10)
    assert mask.shape == (1, 10, 10) and mask[0].sum() == 16 + 9


def test_no_masks():
    assert _decoded([], 4, 5).shape == (0, 4, 5)


@pytest.mark.parametrize(
    ("segmentation", "says"),
    [
        ([], "empty"),
        ([[]], "0 numbers"),
        ([[1, 2, 3, 4]], "4 numbers"),
        ([[1, 2, 3, 4, 5, 6, 7]], "odd"),
        ([[1, 2, 3, 4, 5, float("nan")]], "finite"),
        ([[1, 2, 3, 4, 5, float("inf")]], "finite"),
        ([[1, 2, 3, 4, 5, 10**400]], "finite"),
        ([[1, 2, 3, 4, 5, "6"]], "finite"),
        ([[1, 2, 3, 4, 5, True]], "finite"),
        ([1, 2, 3, 4, 5, 6], "not a list of finite"),
        ([[1, 2, 3, 4, 500, 6]], "far outside"),
        ("polygon", "neither"),
        (None, "neither"),
        ({}, "is not an RLE"),
        ({"size": [4, 5], "counts": [20]}, "has size [4, 5], but the image is [5, 4]"),
        ({"size": [5, 4], "counts": [10, 5]}, "counts for 15 pixels"),
        ({"size": [5, 4], "counts": [30, -10]}, "integers of 0 to 20"),
        ({"size": [5, 4], "counts": [20]}, "marks no pixel"),
        ({"size": [5, 4], "counts": [10.0, 10.0]}, "integers of 0 to 20"),
        ({"size": [5, 4], "counts": [True, 19]}, "integers of 0 to 20"),
        ({"size": [5, 4], "counts": [2**62, 2**62, 2**62, 2**62, 20]}, "integers of 0 to 20"),  # sums to 20 in 64 bits
        ({"size": [5, 4], "counts": None}, "neither a string nor"),
        ({"size": [5, 4], "counts": ""}, "counts for 0 pixels"),
        ({"size": [5, 4], "counts": "oo"}, "malformed"),
        ({"size": [5, 4], "counts": "é"}, "malformed"),
        ({"size": [5, 4], "counts": "d0"}, "marks no pixel"),
    ],
)
def test_faults(segmentation, says):
    assert says in str(segmentation_fault(segmentation, 5, 4))
