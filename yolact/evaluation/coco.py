"""COCO evaluation of masks and boxes, and the files it leaves (`docs/architecture.md` gives their format).

Two backends give the same numbers and matches: `yolact.evaluation.accumulate`, and pycocotools itself, the reference.

T = 10 IoU thresholds .50:.05:.95, R = 101 recall thresholds, K categories, A = 4 area ranges (all, small, medium, large),
M = 3 caps on detections per image and class (1, 10, 100), I images, D detections, G ground-truth instances.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import Params

from yolact.data.annotations import read_annotations
from yolact.data.coco import index
from yolact.evaluation import accumulate as evaluation_fast
from yolact.evaluation import official_rules as evaluation_rules
from yolact.evaluation import reference as evaluation_reference
from yolact.evaluation.accumulate import mean_defined
from yolact.evaluation.inputs import (
    EvaluationError,
    IouType,
    iou_types,
    prepare_detections,
    prepare_ground_truth,
)
from yolact.evaluation.results import read_records
from yolact.runtime.files import write_csv, write_json, write_npz

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
"""COCO's 12 numbers in the order of COCOeval.stats."""
_PER_CLASS = ("iou_type", "category_id", "name", "instances", "AP", "AP50", "AP75")
"""Columns of per_class.csv."""
_AT_50, _AT_75 = 0, 5
Rules = Literal["coco", "official"]
Backend = Literal["fast", "pycocotools"]


@dataclass(frozen=True)
class Evaluation:
    """What was found for one IoU type."""

    iou_type: IouType
    image_ids: NDArray[np.int64]
    """(I,) ascending."""
    category_ids: NDArray[np.int64]
    """(K,) ascending."""
    names: tuple[str, ...]
    """(K,) category names."""
    iou_thresholds: NDArray[np.float64]
    """(T,)"""
    recall_thresholds: NDArray[np.float64]
    """(R,)"""
    metrics: dict[str, float]
    """The 12 numbers by name, fractions in 0..1, or -1 where no ground truth defines them."""
    precision: NDArray[np.float64]
    """(T, R, K) over all sizes at 100 detections; -1 for a category without ground truth."""
    matches: dict[str, NDArray[Any]]
    """image, category, score (D,); matched, ignored (A, T, D); gt_image, gt_category (G,); gt_ignored (A, G)."""


def evaluate(
    ground_truth: COCO | Path | str,
    records: Sequence[dict[str, Any]],
    iou_type: IouType,
    image_ids: Iterable[int] | None = None,
    rules: Rules = "coco",
    backend: Backend = "fast",
) -> Evaluation:
    """Evaluate records in COCO's result format.

    Args:
        ground_truth: a COCO object (not changed) or the path of its annotations.
        records: one dict per detection; see `yolact.evaluation.results`. May be empty.
        iou_type: "segm" compares masks, "bbox" boxes.
        image_ids: evaluate these images alone; None takes all. Records of the others are ignored.
        rules: "coco", or "official": those of `yolact.evaluation.official_rules`.
        backend: what does the work; the result is the same.

    Raises:
        EvaluationError: naming the annotation or record that cannot be evaluated, or an image id that doesn't exist.
        DatasetError: the annotations can't be read.
    """
    dataset = ground_truth.dataset if isinstance(ground_truth, COCO) else read_annotations(Path(ground_truth))
    official = rules == "official"
    chosen = None if image_ids is None else list(image_ids)
    if official:
        dataset, annotated = evaluation_rules.restrict(dataset)
        chosen = annotated if chosen is None else sorted(set(chosen) & set(annotated))
    truth = prepare_ground_truth(dataset, iou_type)
    found = prepare_detections(dataset, records, iou_type)
    images = np.array(sorted(truth.imgs) if chosen is None else _chosen(chosen, truth), dtype=np.int64)
    run = evaluation_fast.run if backend == "fast" else evaluation_reference.run
    matches, numbers, precision = run(truth, found, iou_type, images, official)
    params = Params(iou_type)
    return Evaluation(
        iou_type=iou_type,
        image_ids=images,
        category_ids=np.array(sorted(truth.cats), dtype=np.int64),
        names=tuple(str(truth.cats[category].get("name", category)) for category in sorted(truth.cats)),
        iou_thresholds=params.iouThrs,
        recall_thresholds=params.recThrs,
        metrics=dict(zip(METRICS, numbers.tolist(), strict=True)),
        precision=precision,
        matches=matches,
    )


def evaluate_files(
    annotations_path: Path | str,
    detections_path: Path | str,
    image_ids: Iterable[int] | None = None,
    rules: Rules = "coco",
    kinds: Sequence[IouType] | None = None,
    backend: Backend = "fast",
) -> list[Evaluation]:
    """Evaluate a detections file by masks and by boxes, where its records have them (or by these `kinds`).

    Raises:
        UserError: see `evaluate` and `yolact.evaluation.results.read_records`.
    """
    ground_truth = index(read_annotations(Path(annotations_path)))
    records = read_records(detections_path)
    chosen = None if image_ids is None else list(image_ids)
    return [evaluate(ground_truth, records, kind, chosen, rules, backend) for kind in kinds or iou_types(records)]


def evaluate_to(
    folder: Path | str,
    annotations_path: Path | str,
    detections_path: Path | str,
    image_ids: Iterable[int] | None = None,
    rules: Rules = "coco",
    kinds: Sequence[IouType] | None = None,
    backend: Backend = "fast",
) -> list[Evaluation]:
    """As `evaluate_files`; also write metrics.json, per_class.csv, curves.json and matches.npz into `folder`.

    The same input gives the same bytes.
    """
    evaluations = evaluate_files(annotations_path, detections_path, image_ids, rules, kinds, backend)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "metrics.json", {evaluation.iou_type: evaluation.metrics for evaluation in evaluations})
    write_csv(folder / "per_class.csv", list(per_class(evaluations)), _PER_CLASS)
    write_json(folder / "curves.json", {evaluation.iou_type: curves(evaluation) for evaluation in evaluations})
    write_npz(folder / "matches.npz", match_arrays(evaluations))
    return evaluations


def per_class(evaluations: Sequence[Evaluation]) -> Iterator[dict[str, Any]]:
    """One row per IoU type and category: instances (crowds not counted), AP, AP50, AP75, empty where undefined."""
    for evaluation in evaluations:
        counted = ~evaluation.matches["gt_ignored"][0]
        instances = np.bincount(evaluation.matches["gt_category"][counted], minlength=len(evaluation.category_ids))
        for k, (category_id, name) in enumerate(zip(evaluation.category_ids.tolist(), evaluation.names, strict=True)):
            precision = evaluation.precision[:, :, k]
            values = [mean_defined(part) for part in (precision, precision[_AT_50], precision[_AT_75])]
            texts = ["" if value == -1 else repr(value) for value in values]
            row = (evaluation.iou_type, category_id, name, instances[k], *texts)
            yield dict(zip(_PER_CLASS, row, strict=True))


def curves(evaluation: Evaluation) -> dict[str, Any]:
    """Precision over recall at IoU .50 and .75, and AP at every IoU, averaged over the categories with ground truth."""
    present = evaluation.precision[0, 0] > -1
    precision = evaluation.precision[:, :, present]
    mean = precision.mean(axis=2) if present.any() else np.full(precision.shape[:2], -1.0)
    return {
        "recall": evaluation.recall_thresholds.tolist(),
        "precision": {"0.50": mean[_AT_50].tolist(), "0.75": mean[_AT_75].tolist()},
        "ap_per_iou": {f"{iou:.2f}": mean_defined(precision[t]) for t, iou in enumerate(evaluation.iou_thresholds)},
    }


def match_arrays(evaluations: Sequence[Evaluation]) -> dict[str, NDArray[Any]]:
    """The arrays of matches.npz by name."""
    first = evaluations[0]
    arrays: dict[str, NDArray[Any]] = {
        "image_ids": first.image_ids,
        "category_ids": first.category_ids,
        "iou_thresholds": first.iou_thresholds,
        "recall_thresholds": first.recall_thresholds,
    }
    for evaluation in evaluations:
        arrays |= {f"{evaluation.iou_type}_{name}": array for name, array in evaluation.matches.items()}
    return arrays


def _chosen(image_ids: Iterable[int], truth: COCO) -> list[int]:
    chosen = sorted(set(image_ids))
    unknown = [image_id for image_id in chosen if image_id not in truth.imgs]
    if unknown:
        raise EvaluationError(f"image_ids: {unknown[0]} is not among the images of the annotations")
    return chosen
