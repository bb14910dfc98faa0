"""Where the AP is lost: TIDE's error types, boundary AP."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from yolact.config.base import Config
from yolact.measures.declaration import UNDEFINED, File, Measure, Scalar


class ErrorsConfig(Config):
    """Where the AP is lost (`yolact/measures/errors/measure.py`)."""

    boundary: Annotated[float, Field(gt=0, le=1)] = 0.02
    """Width of the band that boundary AP looks at, as a fraction of the image's diagonal."""


FIXES = {
    "Cls": "wrong class",
    "Loc": "badly placed",
    "Both": "wrong class and badly placed",
    "Dupe": "found twice",
    "Bkg": "background taken for an object",
    "Miss": "missed",
}
"""TIDE's error types in words (`yolact/evaluation/tide.py`)."""


def _deltas(prefix: str, iou_type: str) -> list[Scalar]:
    """The AP50 that fixing each type of error gains."""
    return [
        Scalar(
            f"{prefix}_error_{name}",
            f"{prefix} AP50 gained by fixing {name}",
            "points",
            (iou_type, "delta", name),
            "errors.json",
            scale=100,
            better="lower",
        )
        for name in FIXES
    ]


MEASURE = Measure(
    name="errors",
    config=ErrorsConfig,
    version=1,
    input="predict",
    function="yolact.measures.errors.measure:measure",
    title="Where the AP is lost: TIDE's error types, boundary AP",
    files=(
        File(
            "errors.json",
            "Per iou type the AP50 that fixing one type of error gains, always by COCO's rules. Fractions in 0..1; AP50 is -1 "
            "and deltas are null without ground truth. Error bars are over seeds: single detections aren't kept.",
            "{segm, bbox}: AP50, delta {Cls, Loc, Both, Dupe, Bkg, Miss, FP, FN}, count (detections fixed; instances for Miss "
            "and FN); segm also boundary {metrics: COCO's 12 numbers by boundary IoU, ap_per_iou}",
        ),
    ),
    scalars=(
        *_deltas("mask", "segm"),
        *_deltas("box", "bbox"),
        Scalar(
            "boundary_AP",
            "boundary AP",
            "%",
            ("segm", "boundary", "metrics", "AP"),
            "errors.json",
            scale=100,
            better="higher",
            undefined=UNDEFINED,
        ),
    ),
)
