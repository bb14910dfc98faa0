"""COCO evaluation of masks and boxes by pycocotools, and the files it leaves (`docs/architecture.md` gives their format).

T = 10 IoU thresholds .50:.05:.95, R = 101 recall thresholds, K categories, A = 4 area ranges (all, small, medium, large),
M = 3 caps on detections per image and class (1, 10, 100), I images, D detections, G ground-truth instances.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from yolact import evaluation_rules
from yolact.data.coco import index
from yolact.data.records import read_annotations
from yolact.evaluation_input import (
    EvaluationError,
    IouType,
    iou_types,
    prepare_detections,
    prepare_ground_truth,
)
from yolact.files import write_json, write_text, written_aside
from yolact.records import read_records

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
"""COCO's 12 numbers in the order of COCOeval.stats."""

_AT_50, _AT_75 = 0, 5
Rules = Literal["coco", "official"]


@dataclass(frozen=True)
class Evaluation:
    """What COCOeval found for one IoU type."""

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
) -> Evaluation:
    """Evaluate records in COCO's result format.

    Args:
        ground_truth: a COCO object (not changed) or the path of its annotations.
        records: one dict per detection; see `yolact.records`. May be empty.
        iou_type: "segm" compares masks, "bbox" boxes.
        image_ids: evaluate these images alone; None takes all. Records of the others are ignored.
        rules: "coco", or "official": those of `yolact.evaluation_rules`.

    Raises:
        EvaluationError: naming the annotation or record that cannot be evaluated, or an image id that doesn't exist.
        DatasetError: the annotations can't be read.
    """
    dataset = ground_truth.dataset if isinstance(ground_truth, COCO) else read_annotations(Path(ground_truth))
    official = rules == "official"
    chosen = None if image_ids is None else list(image_ids)
    if official:
        dataset, annotated = evaluation_rules.restrict(dataset)
        chosen = annotated if chosen is None else [image_id for image_id in chosen if image_id in set(annotated)]
    truth = prepare_ground_truth(dataset, iou_type)
    coco_eval = COCOeval(truth, prepare_detections(dataset, records, iou_type), iou_type)
    if chosen is not None:
        coco_eval.params.imgIds = _chosen(chosen, truth)
    with redirect_stdout(StringIO()):
        if official:
            evaluation_rules.match_strictly(coco_eval)
        else:
            coco_eval.evaluate()
        coco_eval.accumulate()
        matches = _matches(coco_eval)
        if official:
            evaluation_rules.count_absent_classes(coco_eval, matches)
        coco_eval.summarize()
    params = coco_eval.params
    return Evaluation(
        iou_type=iou_type,
        image_ids=np.array(params.imgIds, dtype=np.int64),
        category_ids=np.array(params.catIds, dtype=np.int64),
        names=tuple(str(truth.cats[int(category)].get("name", category)) for category in params.catIds),
        iou_thresholds=np.array(params.iouThrs),
        recall_thresholds=np.array(params.recThrs),
        metrics=dict(zip(METRICS, map(float, coco_eval.stats), strict=True)),
        precision=coco_eval.eval["precision"][:, :, :, 0, -1],
        matches=matches,
    )


def evaluate_files(
    annotations_path: Path | str,
    detections_path: Path | str,
    image_ids: Iterable[int] | None = None,
    rules: Rules = "coco",
    kinds: Sequence[IouType] | None = None,
) -> list[Evaluation]:
    """Evaluate a detections file by masks and by boxes, where its records have them (or by these `kinds`).

    Raises:
        UserError: see `evaluate` and `yolact.records.read_records`.
    """
    ground_truth = index(read_annotations(Path(annotations_path)))
    records = read_records(detections_path)
    chosen = None if image_ids is None else list(image_ids)
    return [evaluate(ground_truth, records, kind, chosen, rules) for kind in kinds or iou_types(records)]


def evaluate_to(
    folder: Path | str,
    annotations_path: Path | str,
    detections_path: Path | str,
    image_ids: Iterable[int] | None = None,
    rules: Rules = "coco",
    kinds: Sequence[IouType] | None = None,
) -> list[Evaluation]:
    """As `evaluate_files`; also write metrics.json, per_class.csv, curves.json and matches.npz into `folder`.

    The same input gives the same bytes.
    """
    evaluations = evaluate_files(annotations_path, detections_path, image_ids, rules, kinds)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "metrics.json", {evaluation.iou_type: evaluation.metrics for evaluation in evaluations})
    write_text(folder / "per_class.csv", per_class_csv(evaluations))
    write_json(folder / "curves.json", {evaluation.iou_type: curves(evaluation) for evaluation in evaluations})
    with written_aside(folder / "matches.npz") as aside, open(aside, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **match_arrays(evaluations))
    return evaluations


def per_class_csv(evaluations: Sequence[Evaluation]) -> str:
    """One row per IoU type and category: instances (crowds not counted), AP, AP50, AP75, empty where undefined."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["iou_type", "category_id", "name", "instances", "AP", "AP50", "AP75"])
    for evaluation in evaluations:
        counted = ~evaluation.matches["gt_ignored"][0]
        instances = np.bincount(evaluation.matches["gt_category"][counted], minlength=len(evaluation.category_ids))
        for k, (category_id, name) in enumerate(zip(evaluation.category_ids.tolist(), evaluation.names, strict=True)):
            precision = evaluation.precision[:, :, k]
            values = [_mean(part) for part in (precision, precision[_AT_50], precision[_AT_75])]
            texts = ["" if value == -1 else repr(value) for value in values]
            writer.writerow([evaluation.iou_type, category_id, name, instances[k], *texts])
    return text.getvalue()


def curves(evaluation: Evaluation) -> dict[str, Any]:
    """Precision over recall at IoU .50 and .75, and AP at every IoU, averaged over the categories with ground truth."""
    present = evaluation.precision[0, 0] > -1
    precision = evaluation.precision[:, :, present]
    mean = precision.mean(axis=2) if present.any() else np.full(precision.shape[:2], -1.0)
    return {
        "recall": evaluation.recall_thresholds.tolist(),
        "precision": {"0.50": mean[_AT_50].tolist(), "0.75": mean[_AT_75].tolist()},
        "ap_per_iou": {f"{iou:.2f}": _mean(precision[t]) for t, iou in enumerate(evaluation.iou_thresholds)},
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


def _mean(precision: NDArray[np.float64]) -> float:
    """COCO's mean over whatever is defined, -1 where nothing is."""
    defined = precision[precision > -1]
    return float(defined.mean()) if defined.size else -1.0


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
