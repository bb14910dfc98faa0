"""COCO's numbers by array operations over all detections: what pycocotools finds, to the last bit, in a fraction of its time.

T, R, K, A, M, D as in `yolact.evaluation.coco`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import Params

from yolact.evaluation.inputs import IouType
from yolact.evaluation.matching import Overlap, match, rank_within
from yolact.evaluation.official_rules import count_absent_classes, strictly

Numbers = NDArray[np.float64]


def run(
    truth: COCO,
    found: COCO,
    iou_type: IouType,
    image_ids: NDArray[np.int64],
    official: bool = False,
    overlap: Overlap = coco_mask.iou,
) -> tuple[dict[str, NDArray[Any]], Numbers, Numbers]:
    """Evaluate.

    Args:
        truth, found: as `yolact.evaluation.inputs` prepares them.
        image_ids: (I,) ascending.
        official: apply `yolact.evaluation.official_rules`.
        overlap: IoU of detections and instances.

    Returns:
        The matches (as `yolact.evaluation.coco.Evaluation` has them), COCO's 12 numbers in its order, and the precision (T,
        R, K) over all sizes at 100 detections.
    """
    params = Params(iou_type)
    thresholds = strictly(params.iouThrs) if official else params.iouThrs
    annotations = truth.dataset["annotations"], found.dataset["annotations"]
    category_ids = np.array(sorted(truth.cats), np.int64)
    cap = params.maxDets[-1]
    matching = match(*annotations, iou_type, image_ids, category_ids, thresholds, params.areaRng, cap, overlap)
    matches = matching.arrays()
    precision, recall = accumulate(matches, len(category_ids), params.recThrs, params.maxDets)
    if official:
        count_absent_classes(precision, recall, matches)
    return matches, summarise(precision, recall), precision[:, :, :, 0]


def accumulate(
    matches: dict[str, NDArray[Any]], categories: int, recalls: Numbers, caps: Sequence[int]
) -> tuple[Numbers, Numbers]:
    """Interpolated precision (T, R, K, A) at the last cap, and recall (T, K, A, M) at each; -1 without ground truth.

    Args:
        categories: K.
        recalls: (R,) ascending.
        caps: M numbers of detections per image and class, ascending; the matches hold no more than the last.
    """
    areas, ious, _ = matches["matched"].shape
    precision = np.full((ious, len(recalls), categories, areas), -1.0)
    recall = np.full((ious, categories, areas, len(caps)), -1.0)
    rank = rank_within(matches["category"], matches["image"])
    counts = np.stack([np.bincount(matches["gt_category"][~own], minlength=categories) for own in matches["gt_ignored"]])
    bounds = np.searchsorted(matches["category"], np.arange(categories + 1))
    for k in np.flatnonzero(counts.any(axis=0)).tolist():
        own = slice(bounds[k], bounds[k + 1])
        order = np.argsort(-matches["score"][own], kind="stable")
        for a in np.flatnonzero(counts[:, k]).tolist():
            counted = ~matches["ignored"][a, :, own][:, order]
            true = matches["matched"][a, :, own][:, order] & counted  # (T, d)
            precision[:, :, k, a] = _interpolated(true, counted, counts[a, k], recalls)
            for m, cap in enumerate(caps):
                recall[:, k, a, m] = true[:, rank[own][order] < cap].sum(axis=1) / counts[a, k]
    return precision, recall


def _interpolated(true: NDArray[np.bool_], counted: NDArray[np.bool_], instances: int, recalls: Numbers) -> Numbers:
    """(T, R): the best precision from each recall on, 0 where it isn't reached. `true`, `counted` (T, d), best score first."""
    positives = np.cumsum(true, axis=1).astype(np.float64)
    values = positives / (np.cumsum(counted, axis=1) + np.spacing(1))
    envelope = np.zeros((len(true), true.shape[1] + 1))
    envelope[:, :-1] = np.maximum.accumulate(values[:, ::-1], axis=1)[:, ::-1]
    places = [np.searchsorted(each, recalls) for each in positives / instances]
    return np.take_along_axis(envelope, np.stack(places), axis=1)


def summarise(precision: Numbers, recall: Numbers) -> Numbers:
    """COCO's 12 numbers from precision (T, R, K, A) and recall (T, K, A, M) of its thresholds, area ranges and caps."""
    params = Params("bbox")
    at_50, at_75 = (np.flatnonzero(params.iouThrs == iou) for iou in (0.5, 0.75))
    parts = [precision[..., 0], precision[at_50, ..., 0], precision[at_75, ..., 0]]
    parts += [precision[..., a] for a in (1, 2, 3)]
    parts += [recall[..., 0, m] for m in (0, 1, 2)]
    parts += [recall[..., a, 2] for a in (1, 2, 3)]
    return np.array([mean_defined(part) for part in parts])


def mean_defined(values: Numbers) -> float:
    """COCO's mean over whatever is defined, -1 where nothing is."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else -1.0
