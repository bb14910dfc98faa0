"""Changes to what a network found, before it is evaluated; `yolact/config/interventions.py` describes each."""

from __future__ import annotations

from collections.abc import Callable

from yolact.config.interventions import Intervention
from yolact.interventions.base import Intervene
from yolact.measures.redundancy.moments import PrototypeMoments
from yolact.models.base import Model


def prepare(config: Intervention, model: Model, device: str, moments: Callable[[], PrototypeMoments]) -> Intervene | None:
    """What to do with each image's detections; None for nothing: padding is the network's, set where a stage opens it.

    Args:
        config: which intervention.
        model: the trained network, in inference mode on `device`.
        moments: gives its `compression.training_moments`, so that nothing is fitted to what is evaluated.

    Raises:
        UserError: the network doesn't have what the intervention changes.
    """
    match config.kind:
        case "none" | "padding":
            return None
        case "keep" | "project":
            from yolact.interventions.compression import prepare_compression

            return prepare_compression(config, model, moments, device)
        case "noise":
            from yolact.interventions.noise import prepare_noise

            return prepare_noise(config, model)
        case "oracle":
            from yolact.interventions.oracle import prepare_oracle

            return prepare_oracle(config, model)
