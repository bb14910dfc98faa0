"""Coefficients as predicted, and the best there could be."""

from __future__ import annotations

from yolact.config.base import Config
from yolact.config.fields import Positive
from yolact.measures.declaration import File, Measure, Scalar


class CoefficientsConfig(Config):
    """Coefficients as predicted, and the best there could be (`yolact/measures/coefficients/measure.py`)."""

    images: Positive = 100
    """Images of the evaluated split, in the order of their ids."""


MEASURE = Measure(
    name="coefficients",
    config=CoefficientsConfig,
    version=1,
    input="train",
    function="yolact.measures.coefficients.measure:measure",
    title="Coefficients as predicted, and the best there could be",
    files=(
        File(
            "coefficients.npz",
            "D detections of I images, M of which find an object (`yolact/evaluation/objects.py`). Mask IoUs (M,): as "
            "predicted; with the best coefficients in the range of the network's activation; of any size; with the best on the "
            "prototypes of the image before (NaN in the first); of prototypes that span every mask.",
            "image_ids (I,), class_names; image (D,) index into image_ids, coefficients (D, k) float32, activation (D, k) mean "
            "|prototype| in the crop, score (D,), label (D,); detection (M,) index into D, object (M,) annotation of the image "
            "in the file's order, box_iou (M,), iou, best_iou, free_iou, other_iou, limit_iou (M,), best (M, k), free (M, k)",
        ),
        File(
            "summary.json",
            "Means over the detections that find an object; without prototypes only `prototypes`: 0.",
            "prototypes, range, images, objects, detections, matched, subtracted (share of |coefficient| × activation that is "
            "negative), iou, best_iou, free_iou, other_iou, limit_iou",
        ),
    ),
    scalars=(
        Scalar("subtracted", "share of the coefficients' use that subtracts", "%", ("subtracted",), scale=100),
        Scalar("predicted_iou", "mask IoU as predicted", "%", ("iou",), scale=100, better="higher"),
        Scalar("best_iou", "mask IoU with the best coefficients", "%", ("best_iou",), scale=100, better="higher"),
        Scalar("other_iou", "the same on another image's prototypes", "%", ("other_iou",), scale=100),
        Scalar("limit_iou", "mask IoU of prototypes that span every mask", "%", ("limit_iou",), scale=100),
    ),
)
