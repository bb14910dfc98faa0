"""COCO's average precision again from stored matches, for any weighting of the images.

An image of weight 2 counts as two copies of it, one of weight 0 as absent. With every weight 1 the numbers are COCOeval's to
the last bit; with others they are COCOeval's on the copied images, where the copies of a detection rank side by side (if
scores are equal, COCOeval goes by the order of images). Per-image AP is never averaged: that is another statistic.

Only true positives can carry the interpolated precision (it falls at a false positive), so the work per resample grows with
the true positives; all detections are summed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.results.contents import opened

AREAS = ("all", "small", "medium", "large")

AP_NAMES = {"AP": ("all", None), "AP50": ("all", 0.5), "AP75": ("all", 0.75),
            "APs": ("small", None), "APm": ("medium", None), "APl": ("large", None)}  # fmt: skip
"""COCO's name of each precision: area range, and the IoU threshold (None: mean over all ten)."""
AP_BY_IOU = {f"AP{iou}": ("all", iou / 100) for iou in range(50, 100, 5)}
"""The precision at each IoU threshold, in the same way."""
_PRECISIONS: dict[str, tuple[str, float | None]] = {**AP_NAMES, **AP_BY_IOU}

_PER_TYPE = ("image", "category", "score", "matched", "ignored", "gt_image", "gt_category", "gt_ignored")
"""Arrays that each iou type has, after `segm_` or `bbox_`."""
_ELEMENTS_PER_CHUNK = 4_000_000
"""Bounds the memory of one pass: resamples × detections."""


@dataclass(frozen=True)
class Matches:
    """What COCOeval matched for one iou type (`matches.npz`; docs/architecture.md has the shapes).

    D detections, G instances, A = 4 areas, T IoU thresholds, I images, K classes.
    """

    image_ids: NDArray[np.int64]  # (I,)
    categories: int  # K
    iou_thresholds: NDArray[np.float64]  # (T,)
    recall_thresholds: NDArray[np.float64]  # (R,)
    image: NDArray[np.intp]  # (D,) index into image_ids
    category: NDArray[np.intp]  # (D,)
    score: NDArray[np.float64]  # (D,)
    matched: NDArray[np.bool_]  # (A, T, D)
    ignored: NDArray[np.bool_]  # (A, T, D)
    gt_image: NDArray[np.intp]  # (G,)
    gt_category: NDArray[np.intp]  # (G,)
    gt_ignored: NDArray[np.bool_]  # (A, G)


def load_matches(path: Path, iou_type: str = "segm") -> Matches:
    """The matches of one iou type (`segm` or `bbox`) from a `matches.npz`.

    Raises:
        MissingResult: it isn't one, or lacks something.
    """
    with opened(path) as arrays:
        own = {name: arrays[f"{iou_type}_{name}"] for name in _PER_TYPE}
        return Matches(
            image_ids=arrays["image_ids"],
            categories=len(arrays["category_ids"]),
            iou_thresholds=arrays["iou_thresholds"],
            recall_thresholds=arrays["recall_thresholds"],
            **own,
        )


def accumulate(matches: Matches, weights: NDArray[np.integer], area: str = "all") -> NDArray[np.float64]:
    """Interpolated precision per resample, IoU threshold, recall threshold and class.

    Args:
        matches: of one iou type.
        weights: (n, I) integers >= 0, how often each image counts in each resample.
        area: one of `AREAS`.

    Returns:
        (n, T, R, K) float64 in 0..1; -1 for a class without ground truth in that resample.
    """
    counts: NDArray[np.int64] = np.asarray(weights, dtype=np.int64)
    shape = (len(counts), len(matches.iou_thresholds), len(matches.recall_thresholds), matches.categories)
    precision = np.full(shape, -1.0)
    row = AREAS.index(area)
    for category in range(matches.categories):
        counted = (matches.gt_category == category) & ~matches.gt_ignored[row]
        instances = counts[:, matches.gt_image[counted]].sum(axis=1)  # (n,)
        if instances.any():
            own = np.flatnonzero(matches.category == category)
            own = own[np.argsort(-matches.score[own], kind="mergesort")]  # COCOeval's own sort, so ties fall alike
            precision[..., category] = _interpolate(matches, own, row, counts, instances)
            precision[instances == 0, :, :, category] = -1.0
    return precision


def average_precision(
    matches: Matches, weights: NDArray[np.integer], names: tuple[str, ...] = ("AP",)
) -> dict[str, NDArray[np.float64]]:
    """COCO's precisions per resample.

    Args:
        matches: of one iou type.
        weights: (n, I) integers >= 0.
        names: of `AP_NAMES` and `AP_BY_IOU`.

    Returns:
        For each name an (n,) array in 0..1, -1 where no class has ground truth.
    """
    results = {name: np.empty(len(weights)) for name in names}
    widest = max(len(matches.image), len(matches.recall_thresholds) * len(matches.iou_thresholds) * matches.categories, 1)
    step = max(1, _ELEMENTS_PER_CHUNK // widest)
    for area in dict.fromkeys(_PRECISIONS[name][0] for name in names):
        for start in range(0, len(weights), step):
            precision = accumulate(matches, weights[start : start + step], area)
            for name in (name for name in names if _PRECISIONS[name][0] == area):
                results[name][start : start + step] = _summarise(precision, matches, _PRECISIONS[name][1])
    return results


def resample(images: int, resamples: int = 1000, seed: int = 0) -> NDArray[np.int64]:
    """How often each image is drawn when as many as there are get drawn with replacement: (resamples, images) counts."""
    return np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=resamples)


def _interpolate(
    matches: Matches, own: NDArray[np.intp], area: int, weights: NDArray[np.int64], instances: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(n, T, R): precision at each recall threshold for the detections `own` of one class, best first."""
    ignored, matched = matches.ignored[area][:, own], matches.matched[area][:, own]  # (T, d)
    image = matches.image[own]
    always = ignored.all(axis=0)  # leaving these out changes no sum
    counted = np.cumsum(weights[:, image] * ~always, axis=1)  # (n, d)
    result = np.zeros((len(weights), len(matches.iou_thresholds), len(matches.recall_thresholds)))
    for t in range(len(matches.iou_thresholds)):
        true = np.flatnonzero(matched[t] & ~ignored[t])
        if len(true) == 0:
            continue
        dropped = np.flatnonzero(ignored[t] & ~always)  # few: ignored at this IoU only
        below = np.searchsorted(dropped, true)
        positives = np.cumsum(weights[:, image[true]], axis=1)  # (n, p)
        total = counted[:, true] - _padded_cumsum(weights[:, image[dropped]])[:, below]
        result[:, t] = _envelope(positives, total - positives, instances, matches.recall_thresholds)
    return result


def _envelope(
    true: NDArray[np.int64], false: NDArray[np.int64], instances: NDArray[np.int64], thresholds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n, R): the best precision among the points whose recall reaches each threshold; zero where none does.

    `true`, `false` (n, p): cumulative counts at each true positive.
    """
    positives, negatives = true.astype(np.float64), false.astype(np.float64)
    recall = positives / np.maximum(instances, 1)[:, None]
    precision = positives / (negatives + positives + np.spacing(1))
    reached = np.searchsorted(thresholds, recall, side="right") - 1  # (n, p) the last threshold each point reaches
    best = np.zeros((len(true), len(thresholds)))
    np.maximum.at(best, (np.arange(len(true))[:, None], reached), precision)
    return np.maximum.accumulate(best[:, ::-1], axis=1)[:, ::-1]


def _padded_cumsum(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros((len(values), 1), values.dtype), np.cumsum(values, axis=1)], axis=1)


def _summarise(precision: NDArray[np.float64], matches: Matches, iou: float | None) -> NDArray[np.float64]:
    """(n,): COCO's mean over IoU thresholds, recall thresholds and the classes that have ground truth."""
    if iou is not None:
        precision = precision[:, np.isclose(matches.iou_thresholds, iou)]
    # Flattening each resample by itself keeps numpy's order of summation, hence COCOeval's last bit.
    return np.array([one[one > -1].mean() if (one > -1).any() else -1.0 for one in precision])
