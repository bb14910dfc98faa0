"""What masks contain beside their object, and where they fail though boxes don't."""

from __future__ import annotations

from yolact.config.base import Config
from yolact.config.fields import Positive
from yolact.measures.declaration import File, Measure, Scalar


class LeakageConfig(Config):
    """Where masks spill and detections merge (`yolact/measures/leakage/measure.py`)."""

    images: Positive = 200
    """Images of the evaluated split, in the order of their ids."""


MEASURE = Measure(
    name="leakage",
    config=LeakageConfig,
    version=1,
    input="train",
    function="yolact.measures.leakage.measure:measure",
    title="What masks contain beside their object, and where they fail though boxes don't",
    files=(
        File(
            "leakage.csv",
            "A row per object that is no crowd; empty where undefined.",
            "image_id, object (annotation of the image, from 0), label, area, neighbours, neighbour_iou, found, score, "
            "box_iou, mask_iou, failed, leak, leak_same, leak_other, merged, spill, uncropped_iou",
        ),
        File(
            "worst.npz",
            "The worst objects of each sort, `leak` and `merged`, the worst first.",
            "{sort}_{i}_image (h, w, 3) uint8, {sort}_{i}_mask and {sort}_{i}_truth (h, w) bool, {sort}_{i}_box (4,), "
            "{sort}_{i}_value, {sort}_{i}_image_id",
        ),
        File(
            "summary.json",
            "Counts, and means over the objects that have a value.",
            "images, objects, found, failed, leak, leak_same, leak_other, merged, spill, mask_iou, uncropped_iou",
        ),
    ),
    scalars=(
        Scalar("leak", "mask outside its object", "%", ("leak",), scale=100, better="lower"),
        Scalar("leak_same", "mask on others of the class", "%", ("leak_same",), scale=100, better="lower"),
        Scalar("leak_other", "mask on other classes", "%", ("leak_other",), scale=100, better="lower"),
        Scalar("merged", "largest part of a neighbour in the mask", "%", ("merged",), scale=100, better="lower"),
        Scalar("spill", "mask cut off by the crop", "%", ("spill",), scale=100),
        Scalar(
            "localisation_failure",
            "found by the box, not by the mask",
            "% of objects found",
            ("failed",),
            "leakage.csv",
            scale=100,
            better="lower",
        ),
        Scalar("objects_found", "objects found", "%", ("found",), "leakage.csv", scale=100, better="higher"),
        Scalar("found_mask_iou", "mask IoU of objects found", "%", ("mask_iou",), scale=100, better="higher"),
    ),
)
