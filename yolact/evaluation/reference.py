"""COCO's numbers by pycocotools: the reference that `yolact.evaluation.accumulate` must equal.

A, D, G, I, K, T as in `yolact.evaluation.coco`.
"""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from yolact.evaluation import official_rules as evaluation_rules
from yolact.evaluation.inputs import IouType


def run(
    truth: COCO, found: COCO, iou_type: IouType, image_ids: NDArray[np.int64], official: bool
) -> tuple[dict[str, NDArray[Any]], NDArray[np.float64], NDArray[np.float64]]:
    """Evaluate; arguments and results as those of `yolact.evaluation.accumulate.run`. The annotations get fields of
    pycocotools'."""
    coco_eval = COCOeval(truth, found, iou_type)
    coco_eval.params.imgIds = image_ids.tolist()
    with redirect_stdout(StringIO()):
        if official:
            _match_strictly(coco_eval)
        else:
            coco_eval.evaluate()
        coco_eval.accumulate()
        matches = _matches(coco_eval)
        if official:
            evaluation_rules.count_absent_classes(coco_eval.eval["precision"], coco_eval.eval["recall"], matches)
        coco_eval.summarize()
    return matches, coco_eval.stats, coco_eval.eval["precision"][:, :, :, 0, -1]


def _match_strictly(coco_eval: COCOeval) -> None:
    params = coco_eval.params
    thresholds = params.iouThrs
    params.iouThrs = evaluation_rules.strictly(thresholds)
    coco_eval.evaluate()
    params.iouThrs = thresholds


def _matches(coco_eval: COCOeval) -> dict[str, NDArray[Any]]:
    """Per detection and instance what COCOeval matched, by category, then image, then descending score or annotation order."""
    params = coco_eval.params
    n_areas, n_images, n_ious = len(params.areaRng), len(params.imgIds), len(params.iouThrs)
    cells = []
    for k in range(len(params.catIds)):
        for i in range(n_images):
            by_area = [coco_eval.evalImgs[(k * n_areas + a) * n_images + i] for a in range(n_areas)]
            if by_area[0] is not None:
                cells.append(_cell(k, i, by_area))
    empty = {
        "image": np.zeros(0, np.int64),
        "category": np.zeros(0, np.int64),
        "score": np.zeros(0, np.float64),
        "matched": np.zeros((n_areas, n_ious, 0), bool),
        "ignored": np.zeros((n_areas, n_ious, 0), bool),
        "gt_image": np.zeros(0, np.int64),
        "gt_category": np.zeros(0, np.int64),
        "gt_ignored": np.zeros((n_areas, 0), bool),
    }
    return {name: np.concatenate([zero, *(cell[name] for cell in cells)], axis=-1) for name, zero in empty.items()}


def _cell(k: int, i: int, by_area: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    """The matches of one category in one image. COCOeval orders instances differently per area range; here by annotation."""
    n_detections, n_instances = len(by_area[0]["dtIds"]), len(by_area[0]["gtIds"])
    return {
        "image": np.full(n_detections, i, np.int64),
        "category": np.full(n_detections, k, np.int64),
        "score": np.array(by_area[0]["dtScores"], np.float64),
        "matched": np.stack([cell["dtMatches"] > 0 for cell in by_area]),
        "ignored": np.stack([cell["dtIgnore"].astype(bool) for cell in by_area]),
        "gt_image": np.full(n_instances, i, np.int64),
        "gt_category": np.full(n_instances, k, np.int64),
        "gt_ignored": np.stack([np.asarray(cell["gtIgnore"], bool)[np.argsort(cell["gtIds"])] for cell in by_area]),
    }
