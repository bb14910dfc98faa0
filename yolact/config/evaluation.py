"""How a trained network is judged: its accuracy and its latency."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from yolact.config.base import Config
from yolact.config.fields import Positive


class EvaluationConfig(Config):
    """COCO evaluation (`yolact/evaluation/coco.py`)."""

    split: str | None = None
    """Split of the data set to report on; None takes `test` where the data set has one, else `val`."""
    rules: Literal["coco", "official"] = "coco"
    """COCO's rules, or those of the official code's own evaluation; `yolact/evaluation/official_rules.py` says how they
    differ."""
    backend: Literal["fast", "pycocotools"] = "fast"
    """What does the work: `yolact/evaluation/accumulate.py`, or pycocotools, the reference; the result is the same."""


class SpeedConfig(Config):
    """Latency under the paper's protocol (`yolact/inference/speed.py`): batch 1, images in memory before the clock starts."""

    warmup: Annotated[int, Field(ge=0)] = 5
    """Images passed through before the clock counts."""
    repeats: Positive = 100
    """Images timed end to end, and again stage by stage."""
    copied_detections: Positive = 5
    """Detections copied to the host inside the clock (the official code's top_k)."""
