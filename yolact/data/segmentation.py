"""COCO's three ways to write a mask: polygons, uncompressed RLE (a list of counts), compressed RLE (a string).

pycocotools hands malformed counts to C code that reads past its buffers, so every segmentation is examined here first.
RLE counts run down the columns: pixels outside, inside, outside, ... and sum to height times width.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

MIN_POLYGON = 6
"""Numbers in the smallest polygon: three points."""


def is_number(value: Any) -> bool:
    """Whether the value is a finite int or float (JSON as Python reads it may hold NaN, Infinity and huge integers)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e15 if isinstance(value, int) else math.isfinite(value)


def is_integer(value: Any) -> bool:
    """Whether the value is an int that fits 63 bits; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def segmentation_fault(segmentation: Any, height: int, width: int) -> str | None:
    """What makes this segmentation of a (height, width) image unusable, or None."""
    if isinstance(segmentation, list):
        return _polygons_fault(segmentation, height, width)
    if isinstance(segmentation, dict):
        return _rle_fault(segmentation, height, width)
    return "the segmentation is neither a list of polygons nor an RLE"


def to_rle(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """The compressed RLE of a segmentation in which `segmentation_fault` found nothing: {"size": [h, w], "counts": bytes}."""
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return coco_mask.frPyObjects(segmentation, height, width)
    return {"size": segmentation["size"], "counts": segmentation["counts"].encode("ascii")}


def decode_masks(rles: list[dict[str, Any]], height: int, width: int) -> np.ndarray:
    """Compressed RLEs as an (n, height, width) uint8 array of 0 and 1."""
    if not rles:
        return np.zeros((0, height, width), np.uint8)
    return np.ascontiguousarray(coco_mask.decode(rles).transpose(2, 0, 1))


def run_lengths(counts: str) -> np.ndarray:
    """The counts of a compressed RLE: each is a difference to the last but one, in groups of five bits from the lowest.

    Raises:
        ValueError: where the string is not such an RLE.
    """
    digits = np.frombuffer(counts.encode("ascii", "replace"), np.uint8).astype(np.int64) - 48
    if len(digits) == 0 or digits.min() < 0 or digits.max() > 63:
        raise ValueError("holds characters that no compressed RLE has")
    ends = np.flatnonzero(digits < 32)
    if len(ends) == 0 or ends[-1] != len(digits) - 1:
        raise ValueError("breaks off in the middle of a count")
    starts = np.concatenate([[0], ends[:-1] + 1])
    groups = ends - starts + 1
    if groups.max() > 7:
        raise ValueError("holds a count of more than 32 bits")
    shifts = 5 * (np.arange(len(digits)) - np.repeat(starts, groups))
    values = np.add.reduceat((digits & 31) << shifts, starts)
    values -= np.where(digits[ends] & 16, 1 << (5 * groups), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _polygons_fault(polygons: list, height: int, width: int) -> str | None:
    if not polygons:
        return "the segmentation is empty"
    for polygon in polygons:
        if not isinstance(polygon, list) or not all(is_number(value) for value in polygon):
            return "a polygon is not a list of finite numbers"
        if len(polygon) < MIN_POLYGON:
            return f"a polygon has {len(polygon)} numbers, three points need {MIN_POLYGON}"
        if len(polygon) % 2:
            return f"a polygon has an odd number of values ({len(polygon)}): x and y don't pair"
        xs, ys = polygon[0::2], polygon[1::2]
        if min(xs) < -width or max(xs) > 2 * width or min(ys) < -height or max(ys) > 2 * height:
            return f"a polygon reaches far outside the {width} x {height} image"
    return None


def _rle_fault(rle: dict, height: int, width: int) -> str | None:
    if rle.get("size") != [height, width]:
        return f"the RLE's size is {rle.get('size')!r}, the image's [height, width] is [{height}, {width}]"
    counts = rle.get("counts")
    if isinstance(counts, str):
        try:
            runs = run_lengths(counts)
        except ValueError as error:
            return f"the RLE's counts string {error}"
    elif isinstance(counts, list) and all(is_integer(count) for count in counts):
        runs = np.array(counts, np.int64)
    else:
        return "the RLE's counts are neither a string nor a list of integers"
    if len(runs) and runs.min() < 0:
        return "the RLE holds a negative count"
    if runs.sum() != height * width:
        return f"the RLE's counts sum to {runs.sum()}, the image has {height * width} pixels"
    return "the RLE marks no pixel" if runs[1::2].sum() == 0 else None
