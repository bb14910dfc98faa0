"""What is measured on a trained network, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from yolact.config.base import Config
from yolact.config.model import Positive


class EvaluationConfig(Config):
    """COCO evaluation (`yolact/evaluation.py`)."""

    split: str | None = None
    """Split of the data set to report on; None takes `test` where the data set has one, else `val`."""
    rules: Literal["coco", "official"] = "coco"
    """COCO's rules, or those of the official code's own evaluation; `yolact/evaluation_rules.py` says how they differ."""


class SpeedConfig(Config):
    """Latency under the paper's protocol (`yolact/speed.py`): batch 1, images in memory before the clock starts."""

    warmup: Annotated[int, Field(ge=0)] = 5
    """Images passed through before the clock counts."""
    repeats: Positive = 100
    """Images timed end to end, and again stage by stage."""
    copied_detections: Positive = 5
    """Detections copied to the host inside the clock (the official code's top_k)."""


class PrototypesConfig(Config):
    """Prototype pictures kept for the report (`yolact/prototypes.py`)."""

    images: Positive = 3
    """How many images of the evaluated split, those with most instances per image first."""
