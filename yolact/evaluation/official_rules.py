"""The rules of the official code's own evaluation, where they differ from COCO's.

Source: reference `eval.py` prep_metrics, calc_map.

* Images without annotations are left out.
* Ground truth narrower or lower than 4/550 of its image is dropped.
* A detection matches when its IoU is above the threshold; COCO's matches at the threshold too.
* A class that was detected but has no ground truth counts with an AP of 0; COCO leaves it out of the mean.
* There is no AP by size of object (here -1), and no cap on detections per image and class.

The backends of `yolact.evaluation.coco` apply them; all else is COCO's. T, R, K, A as there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_SIDE = 4 / 550
"""Of the image's side."""


def restrict(dataset: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """The data set without its smallest annotations, and the ids of the images that had any annotation, ascending."""
    sizes = {image.get("id"): (image.get("width"), image.get("height")) for image in dataset["images"]}
    kept = [annotation for annotation in dataset["annotations"] if not _too_small(annotation, sizes)]
    annotated = {annotation["image_id"] for annotation in dataset["annotations"]}
    return {**dataset, "annotations": kept}, sorted(annotated & set(sizes))


def strictly(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The thresholds that an IoU above the given ones reaches, but not one at them."""
    return np.nextafter(thresholds, 1)


def count_absent_classes(precision: NDArray[np.float64], recall: NDArray[np.float64], matches: dict[str, NDArray[Any]]) -> None:
    """Give classes with detections but without ground truth precision 0, and take the numbers by size away.

    Args:
        precision, recall: (T, R, K, A, ...) and (T, K, A, ...), changed here.
        matches: of the same, as `yolact.evaluation.coco.Evaluation.matches`.
    """
    precision[:, :, :, 1:], recall[:, :, 1:] = -1, -1
    present = set(matches["gt_category"][~matches["gt_ignored"][0]].tolist())
    for t, ignored in enumerate(matches["ignored"][0]):
        for k in set(matches["category"][~ignored].tolist()) - present:
            precision[t, :, k, 0], recall[t, k, 0] = 0, 0


def _too_small(annotation: Any, sizes: dict[Any, tuple[Any, Any]]) -> bool:
    """Whether a well-formed box is too small; what is malformed is found, and named, later."""
    try:
        (width, height), (_, _, w, h) = sizes[annotation["image_id"]], annotation["bbox"]
        return bool(w / width <= LEAST_SIDE or h / height <= LEAST_SIDE)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return False
