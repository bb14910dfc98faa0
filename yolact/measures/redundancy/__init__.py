"""How much the prototypes repeat each other, and their use per class."""

from __future__ import annotations

from yolact.config.base import Config
from yolact.config.fields import Positive
from yolact.measures.declaration import File, Measure, Scalar


class RedundancyConfig(Config):
    """How much the prototypes repeat each other (`yolact/measures/redundancy/measure.py`)."""

    images: Positive = 100
    """Images of the evaluated split, in the order of their ids."""


MEASURE = Measure(
    name="redundancy",
    config=RedundancyConfig,
    version=1,
    input="train",
    function="yolact.measures.redundancy.measure:measure",
    title="How much the prototypes repeat each other, and their use per class",
    files=(
        File(
            "redundancy.npz",
            "Float64 over all pixels of the images, C classes. Use is the mean over detections with a score of 0.15 or more of "
            "|coefficient| × root mean square of the prototype in that image; NaN without detections.",
            "mean (k,), covariance (k, k) divided by the pixels, correlation (k, k), eigenvalues (k,) of the covariance, "
            "largest first, explained (k,) share of the variance of the first 1..k, use (k,), use_per_class (C, k), "
            "positive_share (k,) of the detections, detections_per_class (C,), class_names",
        ),
        File(
            "summary.json",
            "Counts and the effective rank; without prototypes only `prototypes`: 0.",
            "prototypes, images, pixels, detections, score_threshold, effective_rank, duplicate_correlation, duplicates "
            "(groups that chains of larger |correlation| connect), constant (prototypes without variance)",
        ),
    ),
    scalars=(
        Scalar("effective_rank", "directions that the prototypes span (effective rank)", "", ("effective_rank",)),
        Scalar("constant_prototypes", "prototypes that don't vary", "", ("constant",), decimals=0),
    ),
)
