"""What is measured on a trained network, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from yolact.config.base import Config
from yolact.config.model import Fraction, Positive


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


class PrototypesConfig(Config):
    """Prototype pictures kept for the report (`yolact/measures/prototypes/measure.py`)."""

    images: Positive = 3
    """How many images of the evaluated split, those with most instances per image first."""


class ResponsesConfig(Config):
    """What each prototype responds to (`yolact/measures/responses/measure.py`)."""

    images: Annotated[int, Field(ge=2)] = 100
    """Images of the evaluated split, in the order of their ids."""
    random_networks: Positive = 3
    """Networks with random weights that say what comes without learning."""


class ProbesConfig(Config):
    """Generated images that tell place from content (`yolact/measures/probes/measure.py`), as in the paper's figure 5."""

    objects: Positive = 4
    """Objects that are moved: drawn as those of `shapes` are, or cut from images of the evaluated split."""
    cells: Annotated[int, Field(ge=2)] = 6
    """Places of an object along each axis that differ by multiples of the network's largest stride; as many as fit."""
    phases: Literal[1, 2, 4, 8] = 4
    """Shifts below that stride, along each axis, at which they are taken again, to tell aliasing from a sense of place."""


class RedundancyConfig(Config):
    """How much the prototypes repeat each other (`yolact/measures/redundancy/measure.py`)."""

    images: Positive = 100
    """Images of the evaluated split, in the order of their ids."""


class CoefficientsConfig(Config):
    """Coefficients as predicted, and the best there could be (`yolact/measures/coefficients/measure.py`)."""

    images: Positive = 100
    """Images of the evaluated split, in the order of their ids."""


class LeakageConfig(Config):
    """Where masks spill and detections merge (`yolact/measures/leakage/measure.py`)."""

    images: Positive = 200
    """Images of the evaluated split, in the order of their ids."""


class ErrorsConfig(Config):
    """Where the AP is lost (`yolact/measures/errors/measure.py`)."""

    boundary: Annotated[float, Field(gt=0, le=1)] = 0.02
    """Width of the band that boundary AP looks at, as a fraction of the image's diagonal."""


class StabilityConfig(Config):
    """How steady masks are from frame to frame (`yolact/measures/stability/measure.py`)."""

    source: str | None = None
    """A video, or a folder of frames, to look at instead. None: generated sequences of known motion, shapes that move where the
    data set is `shapes`, else images of the evaluated split under a moving camera."""
    sequences: Positive = 16
    """Generated sequences; a source is one."""
    frames: Annotated[int, Field(ge=2)] = 16
    """Frames of each, at most so many of a source."""
    score: Fraction = 0.3
    """Detections below this score are not looked at."""
