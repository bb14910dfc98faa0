"""What an intervention is, and the assembly of masks that most of them repeat."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from yolact.config.inference import InferenceConfig
from yolact.data.coco import Instances
from yolact.errors import UserError
from yolact.models.base import Model
from yolact.models.masks.prototypes import PrototypeBranch
from yolact.models.one_stage.model import YolactModel
from yolact.ops import masks as mask_ops
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


def needs_prototypes(model: Model, what: str) -> YolactModel:
    """The model itself.

    Raises:
        UserError: it has no prototypes, so that `what` (such as "inference.intervention.kind=keep") means nothing.
    """
    if not isinstance(model, YolactModel) or not isinstance(model.branch, PrototypeBranch):
        raise UserError(f"{what}: this network makes no prototypes; choose a YOLACT network with prototypes")
    return model


def reassembled(
    found: Detections, inference: InferenceConfig, coefficients: Tensor | None = None, boxes: Tensor | None = None
) -> Detections:
    """The detections with masks assembled anew, as `inference` says, from other coefficients (n, k) or boxes (n, 4) in pixels.

    With neither, the masks are those of the prediction, up to the rounding of the crop's corners.

    Raises:
        UserError: the detections were made without masks.
    """
    prototypes, masks = found.prototypes, found.masks
    if prototypes is None or masks is None or found.coefficients is None:
        raise UserError("inference.intervention: there are no masks to assemble anew; set inference.masks to true")
    used = found.coefficients if coefficients is None else coefficients
    corners = found.boxes if boxes is None else boxes
    height, width = masks.shape[-2:]
    fractions = corners / torch.tensor([width, height, width, height], device=corners.device)
    soft = mask_ops.assemble(prototypes, used, fractions if inference.crop else None, padding=inference.crop_padding)
    made = mask_ops.binarize(soft, (height, width), inference.mask_threshold)
    return replace(found, masks=made, coefficients=used, boxes=corners)
