"""Metrics: single numbers of a run, each with its result file. Specs, tables and `yolact diff` share them.

They are the average precisions of `coco`, the times of `speed`, and the scalars that each measure declares.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from yolact.measures import declarations
from yolact.measures.declaration import UNDEFINED, Measure, Scalar

IOUS = tuple(range(50, 100, 5))
"""COCO's IoU thresholds in percent."""
_PRECISIONS = {"AP": "", "AP50": "50", "AP75": "75", "APs": " small", "APm": " medium", "APl": " large"}
"""The average precisions of metrics.json, with what their labels add."""


@dataclass(frozen=True)
class Metric(Scalar):
    """One number of a run."""

    kind: str = ""
    """The stage kind that measures it."""

    @property
    def iou_type(self) -> str | None:
        """`segm` or `bbox` for an AP of COCO's evaluation, else None."""
        return self.path[0] if self.kind == "coco" else None

    @property
    def by_iou(self) -> bool:
        """Whether it is an AP at an IoU threshold that COCO's 12 numbers leave out."""
        return self.file == "curves.json"

    @property
    def coco_name(self) -> str:
        """Its name without the prefix `mask_` or `box_`."""
        return self.name.partition("_")[2]

    def read(self, result: Path) -> float:
        """The reported value, from a stage's result folder.

        Raises:
            OSError, KeyError, ValueError: the file is missing or cannot be read; as `Scalar.of`.
        """
        text = (result / self.file).read_text(encoding="utf-8")
        if not self.file.endswith(".csv"):
            return self.of(json.loads(text))
        header, *rows = csv.reader(text.splitlines())
        return self.of({name: [row[place] for row in rows] for place, name in enumerate(header)})

    def to_data(self) -> dict[str, Any]:
        """Plain data, for the record of an experiment."""
        return asdict(self)


def metrics_of(measure: Measure) -> list[Metric]:
    """The scalars of a measure."""
    return [Metric(**vars(scalar), kind=measure.name) for scalar in measure.scalars]


def _precisions(prefix: str, iou_type: str) -> list[Metric]:
    return [_precision(f"{prefix}_{name}", f"{prefix} AP{more}", (iou_type, name)) for name, more in _PRECISIONS.items()]


def _by_iou(prefix: str, iou_type: str) -> list[Metric]:
    return [
        _precision(f"{prefix}_AP{iou}", f"{prefix} AP{iou}", (iou_type, "ap_per_iou", f"0.{iou}"), "curves.json")
        for iou in IOUS
        if f"AP{iou}" not in _PRECISIONS
    ]


def _precision(name: str, label: str, path: tuple[str, ...], file: str = "metrics.json") -> Metric:
    return Metric(name, label, "%", path, file, scale=100, better="higher", undefined=UNDEFINED, kind="coco")


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        *_precisions("mask", "segm"),
        *_precisions("box", "bbox"),
        *_by_iou("mask", "segm"),
        *_by_iou("box", "bbox"),
        Metric("fps", "frames per second", "1/s", ("fps", "median"), "speed.json", better="higher", kind="speed"),
        Metric("latency_ms", "latency", "ms", ("latency_ms", "median"), "speed.json", better="lower", kind="speed"),
        *(metric for measure in declarations() for metric in metrics_of(measure)),
    )
}


def metrics_in(record: Mapping[str, Any]) -> dict[str, Metric]:
    """METRICS, and those of an experiment's measures from outside the package, which its record describes."""
    outside = (Metric(**{**data, "path": tuple(data["path"])}) for data in record.get("metrics") or ())
    return {**METRICS, **{metric.name: metric for metric in outside}}
