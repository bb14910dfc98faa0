"""Prototypes, coefficients and masks of some images."""

from __future__ import annotations

from yolact.config.base import Config
from yolact.config.fields import Positive
from yolact.measures.declaration import File, Measure


class PrototypesConfig(Config):
    """Prototype pictures kept for the report (`yolact/measures/prototypes/measure.py`)."""

    images: Positive = 3
    """How many images of the evaluated split, those with most instances per image first."""


MEASURE = Measure(
    name="prototypes",
    config=PrototypesConfig,
    version=1,
    input="train",
    function="yolact.measures.prototypes.measure:measure",
    title="Prototypes, coefficients and masks of some images",
    files=(
        File(
            "prototypes.npz",
            "The images with most annotations, `prototypes.images` of them, and the 20 best detections of each with a score of "
            "0.15 or more; for i = 0.. one after the other.",
            "image_ids, class_names; {i}_image (H, W, 3) uint8, {i}_masks (n, H, W) bool, {i}_boxes (n, 4), {i}_scores (n,), "
            "{i}_labels (n,); where masks are made of maps {i}_prototypes (k, h, w) float32, and where they are linear "
            "combinations of them {i}_coefficients (n, k) float32",
        ),
        File("summary.json", "What was kept of each image.", "score_threshold, images"),
    ),
)
