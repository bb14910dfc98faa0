"""Noise on the coefficients: how much a mask suffers where they are predicted a little worse."""

from __future__ import annotations

import torch
from torch import Tensor

from yolact.config.inference import InferenceConfig
from yolact.config.interventions import NoiseConfig
from yolact.data.coco import Instances
from yolact.interventions.base import Intervene, needs_prototypes
from yolact.models.base import Model
from yolact.structures import Detections


def prepare_noise(config: NoiseConfig, model: Model) -> Intervene:
    """Add normal noise of `config.std` to every coefficient of each detection, or to one drawn per detection.

    What is drawn depends on the image id alone and is scaled by `std`, so that more noise is more of the same and variants
    compare in pairs. Noisy coefficients may leave the range of tanh. `std` 0 gives the detections as they are.

    Raises:
        UserError: the network makes no prototypes.
    """
    branch = needs_prototypes(model, "inference.intervention.kind=noise")

    def intervene(found: Detections, truth: Instances, image_id: int, inference: InferenceConfig) -> Detections:
        if config.std == 0 or found.coefficients is None:
            return found if config.std == 0 else branch.reassembled(found, inference)
        noise = config.std * draw(found.coefficients, image_id, config.on == "one")
        return branch.reassembled(found, inference, coefficients=found.coefficients + noise)

    return intervene


def draw(coefficients: Tensor, image_id: int, one: bool) -> Tensor:
    """(n, k) standard normal noise for coefficients (n, k) of an image; with `one`, zero but for one column of each row."""
    n, k = coefficients.shape
    generator = torch.Generator().manual_seed(image_id)
    noise = torch.randn(n, k, generator=generator)
    if one:
        place = torch.randint(k, (n, 1), generator=generator)
        noise = torch.zeros(n, k).scatter(1, place, noise.gather(1, place))
    return noise.to(coefficients)
