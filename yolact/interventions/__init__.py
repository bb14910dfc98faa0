"""Changes to what a network found, before it is evaluated; `yolact/config/interventions.py` describes each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from yolact.config.interventions import Intervention
from yolact.data.coco import CocoSplit
from yolact.interventions.base import Intervene
from yolact.measures.moments import PrototypeMoments
from yolact.model import Model
from yolact.padding import set_padding


def prepare(
    config: Intervention,
    model: Model,
    train: CocoSplit,
    device: str,
    moments: Callable[[], PrototypeMoments] | None = None,
) -> Intervene | None:
    """What to do with each image's detections; None for nothing.

    Args:
        config: which intervention.
        model: the trained network, in inference mode on `device`. The padding intervention changes it in place.
        train: images that statistics of the prototypes are taken from, so that nothing is fitted to what is evaluated.
        moments: `compression.training_moments` of these, where several interventions share them; None computes them.

    Raises:
        UserError: the network doesn't have what the intervention changes.
    """
    match config.kind:
        case "none":
            return None
        case "padding":
            set_padding(model, config.mode)
            return None
        case "keep" | "project":
            from yolact.interventions.compression import prepare_compression, training_moments

            return prepare_compression(config, model, moments or partial(training_moments, model, train, device), device)
        case "noise":
            from yolact.interventions.noise import prepare_noise

            return prepare_noise(config, model)
        case "oracle":
            from yolact.interventions.oracle import prepare_oracle

            return prepare_oracle(config, model)
