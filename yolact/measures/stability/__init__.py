"""How steady masks are from frame to frame, on generated or real video."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from yolact.config.base import Config
from yolact.config.fields import FilePath, Fraction, Positive
from yolact.measures.declaration import File, Measure, Scalar


class StabilityConfig(Config):
    """How steady masks are from frame to frame (`yolact/measures/stability/measure.py`)."""

    source: Annotated[str | None, FilePath(folder=True)] = None
    """A video, or a folder of frames, to look at instead. None: generated sequences of known motion, shapes that move where the
    data set is `shapes`, else images of the evaluated split under a moving camera."""
    sequences: Positive = 16
    """Generated sequences; a source is one."""
    frames: Annotated[int, Field(ge=2)] = 16
    """Frames of each, at most so many of a source."""
    score: Fraction = 0.3
    """Detections below this score are not looked at."""


def _mean(name: str, label: str, unit: str, key: str, **more: Any) -> Scalar:
    return Scalar(name, label, unit, ("means", key, "mean"), **more)


MEASURE = Measure(
    name="stability",
    config=StabilityConfig,
    version=1,
    input="train",
    function="yolact.measures.stability.measure:measure",
    title="How steady masks are from frame to frame, on generated or real video",
    files=(
        File(
            "tracks.csv",
            "A row per detection of a track, boxes in pixels of the frame; the last three against the frame before, empty "
            "where the track has no detection there.",
            "sequence, frame, track, label, score, x1, y1, x2, y2, object (-1: the ground), iou, box_jitter, score_change",
        ),
        File(
            "objects.csv",
            "A row per annotated object and frame; none for footage.",
            "sequence, frame, object, label, visible, found, gt_iou, iou (of its detections in this frame and the one before)",
        ),
        File(
            "film.npz",
            "A few successive frames around one object.",
            "frames (m,), images (m, h, w, 3) uint8, tracks (m, h, w) int32 (-1: none), truth (m, h, w) bool",
        ),
        File(
            "summary.json",
            "Means with the number of values they are over.",
            "sequences, motion (`known` or `estimated`), score, means {iou, box_jitter, score_change, gaps, flicker, found, "
            "gt_iou, gt_iou_sd: {mean, n}}",
        ),
    ),
    scalars=(
        _mean("steady_iou", "mask IoU of successive frames", "0..1", "iou", decimals=3, better="higher"),
        _mean("flicker", "flicker", "% of pairs of frames", "flicker", scale=100, better="lower"),
        _mean("track_gaps", "gaps in tracks", "% of their frames", "gaps", scale=100, better="lower"),
        _mean("box_jitter", "box jitter", "px of the input", "box_jitter", decimals=2, better="lower"),
        _mean("score_change", "change of score", "0..1", "score_change", decimals=3, better="lower"),
        _mean("tracked_iou", "mask IoU with ground truth", "0..1", "gt_iou", decimals=3, better="higher"),
        _mean("tracked_iou_sd", "deviation of that over time", "0..1", "gt_iou_sd", decimals=3, better="lower"),
        _mean("tracked_found", "found", "% of visible objects", "found", scale=100, better="higher"),
    ),
)
