"""The error budget of a file of detections: TIDE's error types for boxes and masks, and boundary AP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from yolact.data.annotations import read_annotations
from yolact.evaluation.boundary import boundary_ap
from yolact.evaluation.inputs import IouType, prepare_detections, prepare_ground_truth
from yolact.evaluation.results import read_records
from yolact.evaluation.tide import error_budget, find
from yolact.measures.errors import ErrorsConfig
from yolact.runtime.files import write_json


def measure(folder: Path, annotations: Path, detections: Path, masks: bool, config: ErrorsConfig) -> None:
    """Write errors.json (`__init__.py` beside this has its format), by COCO's rules.

    Args:
        annotations: ground truth in COCO's format; all its images count.
        detections: records in COCO's result format (`yolact.evaluation.results`).
        masks: whether the records have masks; else boxes alone are judged.

    Raises:
        DatasetError: the annotations can't be read.
        RecordError, EvaluationError: the detections can't be read or evaluated.
    """
    dataset, records = read_annotations(annotations), read_records(detections)
    kinds: tuple[IouType, ...] = ("segm", "bbox") if masks else ("bbox",)
    write_json(folder / "errors.json", {kind: _budget(dataset, records, kind, config) for kind in kinds})


def _budget(dataset: dict[str, Any], records: list[dict[str, Any]], kind: IouType, config: ErrorsConfig) -> dict[str, Any]:
    truth, found = prepare_ground_truth(dataset, kind), prepare_detections(dataset, records, kind)
    budget = error_budget(find(truth, found, kind))
    if kind == "segm":
        budget["boundary"] = boundary_ap(truth, found, config.boundary)
    return budget
