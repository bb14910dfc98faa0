"""TIDE: which kinds of error cost how much AP (Bolya et al., ECCV 2020).

COCO's matching at IoU .50 says what is wrong: detections that match nothing (and that COCO doesn't ignore) and instances that
nothing matches. With s a detection's best IoU with instances of its class and o with those of others, it is the first of

    Loc   .10 <= s < .50                 right class, badly placed
    Cls   o >= .50                       well placed, wrong class
    Dupe  s >= .50                       the instance was matched by a better detection
    Bkg   neither s nor o above .10      nothing there
    Both  else                           wrong class and badly placed
    Miss  an unmatched instance that no Loc or Cls detection aims at

Fixing Loc or Cls makes a true positive of the best detection that aims at an unmatched instance, and drops the others; fixing
Both, Dupe or Bkg drops the detections; fixing Miss takes the instances out of the count. FP drops all errors of detections, FN
takes all unmatched instances out. The AP gained by fixing one type alone is its delta; deltas don't add up to anything.

This is what the authors' library tidecv 1.0.1 does, except that

* matching is COCO's: 100 detections per image *and class*; of instances with equal IoU the last one, not the first;
* the mean runs over the classes with ground truth, always. tidecv counts a class that was detected but has no ground truth as
  AP 0, and leaves out one that a fix leaves with neither instances nor detections, which here has AP 1: all of it is found;
* detections that COCO ignores, on crowds, are no errors; tidecv counts and fixes them;
* s = .50 exactly is a match, hence Dupe where it matched nothing; tidecv says Loc;
* equal scores keep one order before and after a fix, so that no delta is below 0; tidecv cuts those off at 0;
* precision is read at COCO's 101 recalls; some of tidecv's differ in the last bit, which on small sets moves an AP by some
  tenths of a point.

D counted detections, K categories, G instances of an image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import Params

from yolact.evaluation.inputs import IouType
from yolact.evaluation.matching import Matching, match

TYPES = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")
"""TIDE's error types in the order of its figures."""
FIXES = (*TYPES, "FP", "FN")
"""All that can be fixed: the six types, every false positive, every false negative."""
FOREGROUND, BACKGROUND = 0.5, 0.1

_CLS, _LOC, _BOTH, _DUPE, _BKG = range(5)
_NONE = -1
_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Findings:
    """What each detection is, best score first (equal scores by image, then as in the records), and what was not found."""

    category: NDArray[np.int64]
    """(D,) index into the categories in ascending order of their ids."""
    error: NDArray[np.int64]
    """(D,) place in TYPES, or -1 for a true positive."""
    corrected: NDArray[np.int64]
    """(D,) the category in which a Cls or Loc error, fixed, is a true positive; -1 where fixing drops it."""
    instances: NDArray[np.int64]
    """(K,) crowds not counted."""
    unmatched: NDArray[np.int64]
    """(K,) instances without a detection."""
    missed: NDArray[np.int64]
    """(K,) those of them that no error could have found."""


def error_budget(findings: Findings) -> dict[str, Any]:
    """AP50, and for each of FIXES the AP50 that fixing it gains and how many there are.

    Returns:
        {"AP50": number, "delta": {fix: number}, "count": {fix: int}}, fractions in 0..1. Without any ground truth AP50 is -1
        and the deltas are None.
    """
    types = np.bincount(findings.error + 1, minlength=6)
    count = dict(zip(TYPES, types[1:].tolist(), strict=False))
    count |= {"Miss": int(findings.missed.sum()), "FP": int(types[1:].sum()), "FN": int(findings.unmatched.sum())}
    ap = average_precision(findings)
    defined = bool(findings.instances.any())
    delta = {fix: fixed(findings, fix) - ap if defined else None for fix in FIXES}
    return {"AP50": ap, "delta": delta, "count": {fix: count[fix] for fix in FIXES}}


def find(truth: COCO, found: COCO, iou_type: IouType) -> Findings:
    """Match as COCO does at IoU .50, and say what went wrong with the rest.

    Args:
        truth, found: as `yolact.evaluation.inputs` prepares them for this `iou_type`.
    """
    image_ids, category_ids = np.array(sorted(truth.imgs), np.int64), np.array(sorted(truth.cats), np.int64)
    annotations, params = (truth.dataset["annotations"], found.dataset["annotations"]), Params(iou_type)
    thresholds = np.array([FOREGROUND])
    matching = match(*annotations, iou_type, image_ids, category_ids, thresholds, params.areaRng[:1], params.maxDets[-1])
    detections, instances = matching.detections, matching.instances
    ranked = np.lexsort((detections.number, -detections.score, detections.image))
    ranked = ranked[~matching.ignored[0, 0, ranked]]
    counted = np.lexsort((instances.number, instances.image))
    counted = counted[~matching.gt_ignored[0, counted]]
    next_images = np.arange(1, len(image_ids))
    by_image = [
        np.split(places, np.searchsorted(each.image[places], next_images))
        for each, places in ((detections, ranked), (instances, counted))
    ]
    judged = [_judge(matching, *own) for own in zip(*by_image, strict=True)]
    error, corrected, missed = (np.concatenate(column) for column in zip(*judged, strict=True))
    order = np.argsort(-detections.score[ranked], kind="stable")

    def per_category(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(instances.category[counted[chosen]], minlength=len(category_ids))

    return Findings(
        category=detections.category[ranked][order],
        error=error[order],
        corrected=corrected[order],
        instances=per_category(np.ones(len(counted), bool)),
        unmatched=per_category(~matching.gt_matched[0, 0, counted]),
        missed=per_category(missed),
    )


def fixed(findings: Findings, fix: str) -> float:
    """AP50 with one of FIXES fixed."""
    if fix in ("Miss", "FN"):
        gone = findings.missed if fix == "Miss" else findings.unmatched
        return average_precision(findings, findings.instances - gone)
    wrong = findings.error != _NONE if fix == "FP" else findings.error == TYPES.index(fix)
    mended = wrong & (findings.corrected != _NONE) & (fix != "FP")
    kept = ~wrong | mended
    mixed = replace(
        findings,
        category=np.where(mended, findings.corrected, findings.category)[kept],
        error=np.where(mended, _NONE, findings.error)[kept],
        corrected=findings.corrected[kept],
    )
    return average_precision(mixed)


def average_precision(findings: Findings, instances: NDArray[np.int64] | None = None) -> float:
    """COCO's AP50: interpolated at 101 recalls, averaged over the categories with ground truth; -1 where there is none.

    Args:
        instances: (K,) how many count in the place of the findings' own.
    """
    counted = findings.instances if instances is None else instances
    values = []
    for k in np.flatnonzero(findings.instances):
        true = findings.error[findings.category == k] == _NONE
        values.append(_interpolated(true, int(counted[k])))
    return float(np.mean(values)) if values else -1.0


def _interpolated(true: NDArray[np.bool_], instances: int) -> float:
    """AP of one category from its detections, best first. Without instances left: 1 where there are no detections, else 0."""
    if not instances:
        return float(len(true) == 0)
    positives = np.cumsum(true)
    precision = positives / (np.arange(1, len(true) + 1) + np.spacing(1))
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return float(best[np.searchsorted(positives / instances, _RECALLS)].mean())


def _judge(
    matching: Matching, detections: NDArray[np.int64], instances: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """(d,) error and (d,) corrected category as in `Findings`, and (g,) which instances are missed, of one image.

    Args:
        detections: (d,) places of those counted, best first.
        instances: (g,) places of those counted.
    """
    category = matching.instances.category[instances]
    ious = _ious(matching.detections.shapes, matching.instances.shapes, detections, instances)
    like = matching.detections.category[detections][:, None] == category
    same, other = np.where(like, ious, 0), np.where(like, 0, ious)
    s, o = same.max(axis=1, initial=0), other.max(axis=1, initial=0)
    cases = [matching.matched[0, 0, detections], (s >= BACKGROUND) & (s < FOREGROUND), o >= FOREGROUND, s >= FOREGROUND,
             np.maximum(s, o) <= BACKGROUND]  # fmt: skip
    error = np.select(cases, [_NONE, _LOC, _CLS, _DUPE, _BKG], _BOTH)
    corrected = np.full(len(error), _NONE)
    missed = ~matching.gt_matched[0, 0, instances]
    for place in np.flatnonzero((error == _LOC) | (error == _CLS)):
        aim = int((same if error[place] == _LOC else other)[place].argmax())
        if missed[aim]:
            corrected[place] = category[aim]
            missed[aim] = False
    return error, corrected, missed


def _ious(found: Any, truth: Any, detections: NDArray[np.int64], instances: NDArray[np.int64]) -> NDArray[np.float64]:
    """(d, g) IoU of each detection with each instance, of whichever class."""
    if not len(detections) or not len(instances):
        return np.zeros((len(detections), len(instances)))
    shapes = [
        each[places] if isinstance(each, np.ndarray) else [each[place] for place in places.tolist()]
        for each, places in ((found, detections), (truth, instances))
    ]
    return coco_mask.iou(*shapes, [0] * len(instances))
