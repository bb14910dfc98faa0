"""Boundary AP (Cheng et al., CVPR 2021): COCO's AP where masks must agree along their edges too.

The band of a mask is what lies in it within a given distance of its edge; the image's border counts as an edge. The IoU of a
detection with an instance is the smaller one of the mask IoU and of the IoU of their bands, as in the authors' code; with a
crowd region it is the mask IoU alone. Everything else (matching, area ranges, accumulation) is COCO's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import Params

from yolact.evaluation.accumulate import mean_defined, run
from yolact.evaluation.coco import METRICS
from yolact.evaluation.matching import Overlap


def boundary_ap(truth: COCO, found: COCO, fraction: float = 0.02) -> dict[str, Any]:
    """The 12 COCO numbers and the AP at each IoU threshold, by boundary IoU.

    Args:
        truth, found: as `yolact.evaluation.inputs` prepares them for masks.
        fraction: width of the band as a fraction of the image's diagonal, above 0.

    Returns:
        {"metrics": {name: number}, "ap_per_iou": {"0.50": number, ...}}, fractions in 0..1, or -1 without ground truth.
    """
    params = Params("segm")
    overlap = _overlap(fraction, least=params.iouThrs[0])
    _, numbers, precision = run(truth, found, "segm", np.array(sorted(truth.imgs), np.int64), overlap=overlap)
    return {
        "metrics": dict(zip(METRICS, numbers.tolist(), strict=True)),
        "ap_per_iou": {f"{iou:.2f}": mean_defined(part) for iou, part in zip(params.iouThrs, precision, strict=True)},
    }


def band(segmentation: dict[str, Any], fraction: float) -> dict[str, Any]:
    """The band along the edge of a mask, both as compressed RLE.

    It is as wide as `fraction` of the image's diagonal, rounded to whole pixels (half to even) and at least one; distances are
    the larger of their horizontal and vertical part.
    """
    height, width = segmentation["size"]
    mask = coco_mask.decode(segmentation)
    x, y, w, h = (int(side) for side in coco_mask.toBbox(segmentation))
    inside = mask[y : y + h, x : x + w]
    inside[eroded(inside, max(1, round(fraction * math.hypot(height, width))))] = 0
    return coco_mask.encode(mask)


def eroded(mask: NDArray[np.uint8], reach: int) -> NDArray[np.bool_]:
    """The (H, W) pixels whose whole square neighbourhood, `reach` pixels to every side, is set. Nothing is set outside."""
    side = 2 * reach + 1
    padded = np.pad(mask.astype(bool), reach)
    return _all_within(_all_within(padded, side).T, side).T


def _all_within(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """(n - side + 1, m): whether `side` rows from each one on are set, by doubling how many are known."""
    known = 1
    while known < side:
        step = min(known, side - known)
        mask = mask[:-step] & mask[step:]
        known += step
    return mask


def _overlap(fraction: float, least: float) -> Overlap:
    """Boundary IoU; below `least` it may be too large, because bands only make an IoU smaller."""

    def iou(found: list[dict[str, Any]], truth: list[dict[str, Any]], crowd: list[int]) -> NDArray[np.float64]:
        ious = coco_mask.iou(found, truth, crowd)
        close = np.where(np.array(crowd) == 1, 0, ious) >= least
        rows, columns = np.flatnonzero(close.any(axis=1)), np.flatnonzero(close.any(axis=0))
        if len(rows):
            bands = [[band(own[place], fraction) for place in places] for own, places in ((found, rows), (truth, columns))]
            near = coco_mask.iou(*bands, [0] * len(columns))
            ious[np.ix_(rows, columns)] = np.minimum(ious[np.ix_(rows, columns)], near)
        return ious

    return iou
