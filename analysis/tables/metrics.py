"""The metrics of the tables: their names, words and units, and where a stage stores them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis.results.experiment import Experiment, MissingResult
from analysis.statistics.bootstrap import AP_BY_IOU, AP_NAMES


@dataclass(frozen=True)
class Metric:
    """One number of a run."""

    name: str
    label: str
    unit: str
    kind: str
    """The stage kind that measures it."""
    path: tuple[str, ...]
    """Where it stands in that stage's JSON file."""
    scale: float = 1.0
    """Factor from the stored to the reported unit."""
    decimals: int = 1
    higher_is_better: bool = True

    @property
    def iou_type(self) -> str | None:
        """`segm` or `bbox` for an AP, else None."""
        return self.path[0] if self.kind == "coco" else None

    @property
    def file(self) -> str:
        if self.kind != "coco":
            return "speed.json"
        return "curves.json" if self.by_iou else "metrics.json"

    @property
    def by_iou(self) -> bool:
        """Whether it is an AP at an IoU threshold that COCO's 12 numbers leave out."""
        return "ap_per_iou" in self.path

    @property
    def coco_name(self) -> str:
        """Its name without the prefix `mask_` or `box_`, as in `bootstrap.AP_NAMES`."""
        return self.name.partition("_")[2]


_SIZES = {"AP": "", "AP50": "50", "AP75": "75", "APs": " small", "APm": " medium", "APl": " large"}


def _precisions(prefix: str, iou_type: str) -> list[Metric]:
    return [
        Metric(f"{prefix}_{name}", f"{prefix} AP{_SIZES[name]}", "%", "coco", (iou_type, name), scale=100) for name in AP_NAMES
    ]


def _by_iou(prefix: str, iou_type: str) -> list[Metric]:
    return [
        Metric(f"{prefix}_{name}", f"{prefix} {name}", "%", "coco", (iou_type, "ap_per_iou", f"{iou:.2f}"), scale=100)
        for name, (_, iou) in AP_BY_IOU.items()
        if name not in AP_NAMES
    ]


METRICS = {
    metric.name: metric
    for metric in [
        *_precisions("mask", "segm"),
        *_precisions("box", "bbox"),
        *_by_iou("mask", "segm"),
        *_by_iou("box", "bbox"),
        Metric("fps", "frames per second", "1/s", "speed", ("fps", "median")),
        Metric("latency_ms", "latency", "ms", "speed", ("latency_ms", "median"), higher_is_better=False),
    ]
}


def value(experiment: Experiment, variant: str, seed: int, metric: Metric) -> float:
    """The metric of one run, in its reported unit.

    Raises:
        MissingResult: it was not measured, or COCO defines no value (-1: no instance of that kind).
    """
    found = experiment.read(variant, seed, metric.kind, metric.file)
    if metric.iou_type == "segm" and "segm" not in found:
        raise MissingResult("no masks were made")
    try:
        for key in metric.path:
            found = found[key]
        number = float(found)
    except (KeyError, TypeError, ValueError):
        raise MissingResult(f"{metric.file} has no {'.'.join(metric.path)}") from None
    if metric.kind == "coco" and number < 0:
        raise MissingResult("undefined: no such instances in the data")
    if not math.isfinite(number):
        raise MissingResult(f"{'.'.join(metric.path)} is {number}")
    return number * metric.scale
