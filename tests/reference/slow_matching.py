"""TIDE's errors and boundary IoU on the matches of pycocotools' own loops."""

from __future__ import annotations

from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

FOREGROUND, BACKGROUND = 0.5, 0.1
_CLS, _LOC, _BOTH, _DUPE, _BKG = range(5)
_NONE = -1


def find(truth: COCO, found: COCO, iou_type: str) -> tuple[NDArray[np.int64], ...]:
    """The fields of `yolact.evaluation.tide.Findings`, in their order."""
    coco_eval = _matched(truth, found, iou_type)
    params = coco_eval.params
    n_images, n_categories = len(params.imgIds), len(params.catIds)
    field = "bbox" if iou_type == "bbox" else "segmentation"
    instances, unmatched, missed = np.zeros((3, n_categories), np.int64)
    scores, columns = [np.zeros(0)], [np.zeros((3, 0), np.int64)]
    for i in range(n_images):
        cells = [(k, coco_eval.evalImgs[k * n_images + i]) for k in range(n_categories)]
        image = _image([(k, cell) for k, cell in cells if cell is not None])
        error, corrected, lost = _judge(image, _ious(image, truth, found, field))
        scores.append(image.score)
        columns.append(np.stack([image.category, error, corrected]))
        instances += np.bincount(image.gt_category, minlength=n_categories)
        unmatched += np.bincount(image.gt_category[~image.gt_matched], minlength=n_categories)
        missed += np.bincount(image.gt_category[lost], minlength=n_categories)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    category, error, corrected = np.concatenate(columns, axis=1)[:, order]
    return category, error, corrected, instances, unmatched, missed


def _matched(truth: COCO, found: COCO, iou_type: str) -> COCOeval:
    coco_eval = COCOeval(truth, found, iou_type)
    params = coco_eval.params
    params.iouThrs, params.areaRng, params.areaRngLbl = np.array([FOREGROUND]), params.areaRng[:1], params.areaRngLbl[:1]
    with redirect_stdout(StringIO()):
        coco_eval.evaluate()
    return coco_eval


@dataclass(frozen=True)
class _Image:
    """Counted detections (best first) and instances of one image, with what COCO matched."""

    detection: NDArray[np.int64]  # (d,) id
    category: NDArray[np.int64]
    score: NDArray[np.float64]
    matched: NDArray[np.bool_]
    instance: NDArray[np.int64]  # (G,) id
    gt_category: NDArray[np.int64]
    gt_matched: NDArray[np.bool_]


def _image(cells: list[tuple[int, dict[str, Any]]]) -> _Image:
    detections = [
        (-score, number, k, match > 0)
        for k, cell in cells
        for score, number, match, ignored in zip(
            cell["dtScores"], cell["dtIds"], cell["dtMatches"][0], cell["dtIgnore"][0], strict=True
        )
        if not ignored
    ]
    instances = [
        (number, k, match > 0)
        for k, cell in cells
        for number, match, ignored in zip(cell["gtIds"], cell["gtMatches"][0], cell["gtIgnore"], strict=True)
        if not ignored
    ]
    score, number, category, matched = np.array(sorted(detections)).reshape(-1, 4).T
    gt_number, gt_category, gt_matched = np.array(sorted(instances)).reshape(-1, 3).T
    return _Image(number.astype(np.int64), category.astype(np.int64), -score, matched.astype(bool),
                  gt_number.astype(np.int64), gt_category.astype(np.int64), gt_matched.astype(bool))  # fmt: skip


def _ious(image: _Image, truth: COCO, found: COCO, field: str) -> NDArray[np.float64]:
    """(d, G) IoU of each detection with each instance, of whichever class."""
    shape = len(image.detection), len(image.instance)
    if 0 in shape:
        return np.zeros(shape)
    detections = [found.anns[number][field] for number in image.detection.tolist()]
    return coco_mask.iou(detections, [truth.anns[number][field] for number in image.instance.tolist()], [0] * shape[1])


def _judge(image: _Image, ious: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """(d,) error and (d,) corrected category as in `yolact.evaluation.tide.Findings`, and (G,) which instances are missed."""
    like = image.category[:, None] == image.gt_category[None]
    same, other = np.where(like, ious, 0), np.where(like, 0, ious)
    s, o = same.max(axis=1, initial=0), other.max(axis=1, initial=0)
    cases = [image.matched, (s >= BACKGROUND) & (s < FOREGROUND), o >= FOREGROUND, s >= FOREGROUND,
             np.maximum(s, o) <= BACKGROUND]  # fmt: skip
    error = np.select(cases, [_NONE, _LOC, _CLS, _DUPE, _BKG], _BOTH)
    corrected = np.full(len(error), _NONE)
    missed = ~image.gt_matched
    for place in np.flatnonzero((error == _LOC) | (error == _CLS)):
        aim = int((same if error[place] == _LOC else other)[place].argmax())
        if missed[aim]:
            corrected[place] = image.gt_category[aim]
            missed[aim] = False
    return error, corrected, missed


class BoundaryEval(COCOeval):
    def __init__(self, truth: COCO, found: COCO, fraction: float, band: Any) -> None:
        super().__init__(truth, found, "segm")
        self.fraction, self.band = fraction, band

    def computeIoU(self, imgId: int, catId: int) -> Any:  # noqa: N802, N803 - COCOeval calls it
        ious = super().computeIoU(imgId, catId)
        if not np.size(ious):
            return ious
        instances, detections = self._gts[imgId, catId], self._dts[imgId, catId]
        ranked = np.argsort([-detection["score"] for detection in detections], kind="mergesort")
        crowd = np.array([instance["iscrowd"] == 1 for instance in instances])
        close = np.where(crowd, 0, ious) >= self.params.iouThrs[0]  # no others can match: bands only make an IoU smaller
        rows, columns = np.flatnonzero(close.any(axis=1)), np.flatnonzero(close.any(axis=0))
        if len(rows):
            near = coco_mask.iou(self._bands(detections, ranked[rows]), self._bands(instances, columns), [0] * len(columns))
            ious[np.ix_(rows, columns)] = np.minimum(ious[np.ix_(rows, columns)], near)
        return ious

    def _bands(self, annotations: list[dict[str, Any]], places: NDArray[np.intp]) -> list[dict[str, Any]]:
        return [self.band(annotations[place]["segmentation"], self.fraction) for place in places]


def boundary_numbers(truth: COCO, found: COCO, fraction: float, band: Any) -> tuple[NDArray[np.float64], list[float]]:
    """COCO's 12 numbers, and the AP at each IoU threshold."""
    coco_eval = BoundaryEval(truth, found, fraction, band)
    with redirect_stdout(StringIO()):
        coco_eval.evaluate()
        coco_eval.accumulate()
        coco_eval.summarize()
    precision = coco_eval.eval["precision"][:, :, :, 0, -1]  # (T, R, K) over all sizes, at 100 detections
    defined = [values[values > -1] for values in precision]
    return coco_eval.stats, [float(values.mean()) if values.size else -1.0 for values in defined]
