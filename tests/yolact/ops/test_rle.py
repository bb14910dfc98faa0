"""Compressed RLE: round trips, and every malformed string caught before pycocotools' C code sees it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from yolact.ops import rle


def by_pycocotools(stack):
    """Its records; an image without pixels, which it doesn't take, has no counts."""
    size = list(stack.shape[1:])
    if not stack.size:
        return [{"size": size, "counts": ""} for _ in stack]
    encoded = coco_mask.encode(np.asfortranarray(stack.transpose(1, 2, 0).astype(np.uint8)))
    return [{"size": size, "counts": each["counts"].decode()} for each in encoded]


masks = arrays(bool, st.tuples(st.integers(0, 3), st.integers(1, 40), st.integers(1, 40)))


@given(masks)
def test_decoding_inverts_encoding(stack):
    for mask, record in zip(stack, rle.encode(stack), strict=True):
        assert rle.problem(record, *mask.shape) is None
        np.testing.assert_array_equal(rle.decode(record, *mask.shape), mask)


@given(masks)
def test_run_lengths_alternate_from_background_column_by_column(stack):
    for mask, record in zip(stack, rle.encode(stack), strict=True):
        runs = rle.run_lengths(record["counts"])
        values = np.arange(len(runs)) % 2 == 1
        np.testing.assert_array_equal(np.repeat(values, runs), mask.T.ravel())


@given(masks)
def test_run_lengths_of_several_masks_are_those_of_each(stack):
    counts = [record["counts"].encode() for record in rle.encode(stack)]
    together = rle.all_run_lengths(counts)
    assert [each.tolist() for each in together] == [rle.run_lengths(each).tolist() for each in counts]


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "is not compressed RLE"),
        ([[0, 0, 4, 0, 4, 4]], "is not compressed RLE"),
        ({"size": [4, 5]}, "is not compressed RLE"),
        ({"size": [5, 4], "counts": "d0"}, "image is [4, 5]"),
        ({"size": [4, 5], "counts": [20]}, "not a string"),
        ({"size": [4, 5], "counts": ""}, "0 pixels, but the image has 20"),
        ({"size": [4, 5], "counts": "e0"}, "21 pixels, but the image has 20"),
        ({"size": [4, 5], "counts": "d"}, "cut short"),
        ({"size": [4, 5], "counts": "~0"}, "outside '0' to 'o'"),
        ({"size": [4, 5], "counts": "!0"}, "outside '0' to 'o'"),
        ({"size": [4, 5], "counts": "é"}, "character 'é'"),
        ({"size": [4, 5], "counts": "O0"}, "a negative run"),
        ({"size": [4, 5], "counts": "o" * 8 + "0"}, "longer than any image"),
    ],
)
def test_problem_says_what_is_wrong(segmentation, message):
    assert message in rle.problem(segmentation, 4, 5)
    with pytest.raises(ValueError, match=r"RLE|size|counts"):
        rle.decode(segmentation, 4, 5)


@given(st.tuples(st.integers(0, 3), st.integers(0, 50), st.integers(0, 50)), st.integers(0, 2**32 - 1))
def test_encoding_has_the_bytes_of_pycocotools(shape, seed):
    """Blobs of all sizes, columns and rows set from end to end among them, bool and uint8."""
    random = np.random.default_rng(seed)
    stack = random.random(shape) < random.choice([0, 0.02, 0.5, 0.98, 1], (shape[0], 1, 1))
    stack |= random.random((shape[0], 1, shape[2])) < random.choice([0, 0.5])
    stack |= random.random((shape[0], shape[1], 1)) < random.choice([0, 0.1])
    for each in (stack, stack.astype(np.uint8), stack[:, ::-1, ::-1]):
        assert rle.encode(each) == by_pycocotools(each)


@pytest.mark.parametrize("side", [16, 17, 512, 513, 6000])
def test_lengths_at_the_ends_of_a_group_of_bits(side):
    """One pixel set at a time in a column of an image: lengths around 16, 512 and 16384 need a group more."""
    rows = [0, 14, 15, 16, 17, 31, 32, 33, 511, 512, 513, side - 1]
    stack = np.zeros((len(rows), side, 3), bool)
    for mask, row in zip(stack, rows, strict=True):
        mask[min(row, side - 1)] = True
    assert rle.encode(stack) == by_pycocotools(stack)


def test_an_all_background_mask_of_20_pixels_is_d0():
    assert rle.encode(np.zeros((1, 4, 5), bool)) == [{"size": [4, 5], "counts": "d0"}]


@given(masks, st.integers(1, 3))
def test_areas_are_those_of_the_masks(stack, repeats):
    records = rle.encode(stack) * repeats
    counted = rle.areas(records, [stack.shape[1:]] * len(records))
    assert counted.tolist() == stack.sum(axis=(1, 2)).tolist() * repeats


@given(masks, st.data())
def test_areas_are_none_just_where_there_is_a_problem(stack, data):
    records = rle.encode(stack)
    for record in records:
        text = record["counts"]
        place = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 2))
        record["counts"] = text[:place] + data.draw(st.text("0123PQXo~", max_size=3)) + text[place + cut :]
    sound = all(rle.problem(record, *stack.shape[1:]) is None for record in records)
    assert (rle.areas(records, [stack.shape[1:]] * len(records)) is not None) == sound
