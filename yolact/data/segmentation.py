"""COCO's three ways to write a mask: polygons, uncompressed RLE (a list of counts), compressed RLE (a string).

pycocotools hands malformed counts to C code that reads past its buffers, so every segmentation is examined here first.
RLE counts run down the columns: pixels outside, inside, outside, ... and sum to height times width.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from yolact.ops import rle

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


def _rle_fault(record: dict, height: int, width: int) -> str | None:
    if record.get("size") != [height, width]:
        return f"the RLE's size is {record.get('size')!r}, the image's [height, width] is [{height}, {width}]"
    counts = record.get("counts")
    if isinstance(counts, str):
        try:
            runs = rle.run_lengths(counts)
        except ValueError as error:
            return f"the RLE's counts string is malformed: {error}"
    elif isinstance(counts, list) and all(is_integer(count) for count in counts):
        runs = np.array(counts, np.int64)
    else:
        return "the RLE's counts are neither a string nor a list of integers"
    if len(runs) and runs.min() < 0:
        return "the RLE holds a negative count"
    if runs.sum() != height * width:
        return f"the RLE's counts sum to {runs.sum()}, the image has {height * width} pixels"
    return "the RLE marks no pixel" if runs[1::2].sum() == 0 else None
