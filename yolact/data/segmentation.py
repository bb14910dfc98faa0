"""COCO's three ways to write a mask: polygons, uncompressed RLE (a list of counts), compressed RLE (a string).

pycocotools hands malformed counts to C code that reads past its buffers, so every segmentation is checked here first.
RLE counts run down the columns: pixels outside, inside, outside, ... and sum to height times width.
"""

from __future__ import annotations

from typing import Any

from pycocotools import mask as coco_mask

from yolact.data.fields import Fault, is_number
from yolact.ops import rle

MIN_POLYGON = 6
"""Numbers in the smallest polygon: three points."""


def segmentation_fault(segmentation: Any, height: int, width: int) -> Fault | None:
    """What makes this segmentation of a (height, width) image unusable as ground truth, or None."""
    if isinstance(segmentation, list):
        what = _polygons_fault(segmentation, height, width)
    elif isinstance(segmentation, dict):
        what = _rle_fault(segmentation, height, width)
    else:
        what = "is neither a list of polygons nor an RLE"
    if what is None:
        return None
    to_do = "write the mask as polygons or RLE of the image's size, or remove the annotation"
    return Fault(f"the segmentation {what}", to_do)


def to_rle(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """The compressed RLE of a segmentation in which `segmentation_fault` found nothing: {"size": [h, w], "counts": bytes}."""
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    counts = segmentation["counts"]
    if isinstance(counts, list):
        return coco_mask.frPyObjects(segmentation, height, width)
    return {"size": segmentation["size"], "counts": counts.encode("ascii") if isinstance(counts, str) else counts}


def _polygons_fault(polygons: list, height: int, width: int) -> str | None:
    if not polygons:
        return "is empty"
    for polygon in polygons:
        if not isinstance(polygon, list) or not all(is_number(value) for value in polygon):
            return "has a polygon that is not a list of finite numbers"
        if len(polygon) < MIN_POLYGON:
            return f"has a polygon of {len(polygon)} numbers, three points need {MIN_POLYGON}"
        if len(polygon) % 2:
            return f"has a polygon with an odd number of values ({len(polygon)}): x and y don't pair"
        xs, ys = polygon[0::2], polygon[1::2]
        if min(xs) < -width or max(xs) > 2 * width or min(ys) < -height or max(ys) > 2 * height:
            return f"has a polygon that reaches far outside the {width} x {height} image"
    return None


def _rle_fault(segmentation: dict, height: int, width: int) -> str | None:
    try:
        runs = rle.checked_runs(segmentation, height, width, lists=True)
    except ValueError as error:
        return str(error)
    return "marks no pixel" if runs[1::2].sum() == 0 else None
