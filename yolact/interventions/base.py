"""What an intervention is, and the assembly of masks that most of them repeat."""

from __future__ import annotations

from typing import Any, Protocol

from yolact.config.inference import InferenceConfig
from yolact.data.coco import Instances
from yolact.errors import UserError
from yolact.measures.context import refuse_other_maps
from yolact.models.base import Model
from yolact.structures import Detections


class Intervene(Protocol):
    """Changes the detections of one image."""

    def __call__(self, found: Detections, truth: Instances, image_id: int, inference: InferenceConfig) -> Detections:
        """
        Args:
            found: as predicted, with coefficients and prototypes where the network has them, on the network's device.
            truth: what is annotated in the image, in its pixels, on the CPU.
            image_id: drives what is drawn at random.
            inference: how `found` was made, so that masks are assembled again by the same crop and threshold.
        """


def needs_prototypes(model: Model, what: str) -> Any:
    """What combines the model's prototypes linearly (`Model.prototypes`).

    Raises:
        UserError: it has no prototypes, so that `what` (such as "inference.intervention.kind=keep") means nothing.
    """
    if model.prototypes is None:
        refuse_other_maps(model, what)
        raise UserError(f"{what}: this network makes no prototypes; choose a YOLACT network with prototypes")
    return model.prototypes
