"""What measures are given in tests: a planted predictor in place of a trained network."""

from __future__ import annotations

from yolact.config import InferenceConfig
from yolact.measures.context import Look

INFERENCE = InferenceConfig()


def planted_look(predictor, split, inference=INFERENCE, model=None, **others):
    """A `Look` whose detections are those of `predictor.predict(images, inference)`.

    Args:
        model: what measures read capabilities from, such as `image_size` and `prototypes`; by default the predictor itself.
    """
    look = Look(predictor if model is None else model, split, inference, "cpu", **others)
    look.__dict__["predictor"] = predictor  # where `cached_property` keeps it
    return look
