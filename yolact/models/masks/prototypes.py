"""YOLACT's mask branch: prototypes for the whole image, coefficients per anchor, one matrix product.

Source: paper sections 3.1 to 3.3; reference `layers/modules/multibox_loss.py` lincomb_mask_loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from yolact.config.inference import InferenceConfig
from yolact.config.mask_branch import PrototypeConfig
from yolact.errors import UserError
from yolact.models.masks.mask_branch import Instances, MaskBranch, Masks, Truth
from yolact.models.masks.protonet import Protonet
from yolact.ops import masks as mask_ops
from yolact.structures import Detections


class PrototypeBranch(MaskBranch):
    """Linear combination of prototypes."""

    section = "protonet"
    context_names = ("prototypes",)

    def __init__(self, config: PrototypeConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        self.protonet = Protonet(config, channels)
        self.parameters_per_location = self.map_count = config.k
        self.map_source = config.source

    def context(self, levels: Sequence[Tensor]) -> tuple[Tensor]:
        """(n, k, h, w) prototypes, h and w twice those of the source level."""
        return (self.protonet(levels[self.config.source - 3]),)

    def activate(self, raw: Tensor) -> Tensor:
        return torch.tanh(raw) if self.config.coefficient_activation == "tanh" else raw

    def loss(self, instances: Instances, context: tuple[Tensor, ...], truth: Truth) -> dict[str, Tensor]:
        """Pixelwise binary cross entropy of the assembled masks against ground truth at prototype resolution.

        With the crop, each mask's sum is divided by its ground-truth box's area in prototype pixels; without, by the number of
        prototype pixels. The target is not cropped. Beyond `max_masks_per_image` positives, a random choice represents all.
        """
        config, (maps,) = self.config, context
        size = (maps.shape[-2], maps.shape[-1])
        chosen, counts, scale = truth.choose(config.max_masks_per_image)
        chosen = chosen.to(maps.device)
        objects = truth.objects[chosen]
        boxes = truth.boxes[objects]
        parameters = instances.parameters[chosen].split(counts)
        predicted = torch.cat([mask_ops.assemble(own, rows) for own, rows in zip(maps, parameters, strict=True)])
        if config.crop_in_loss:
            predicted = mask_ops.crop(predicted, boxes, config.crop_padding)
        wanted = mask_ops.downsample(truth.masks, size)[objects]  # (q, h, w)
        per_mask = F.binary_cross_entropy(predicted.nan_to_num(), wanted, reduction="none").sum(dim=(1, 2))
        pixels = size[0] * size[1]
        if config.crop_in_loss:
            per_mask = per_mask / (boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1])
        return {"mask": (per_mask * scale.to(per_mask)).sum() * (config.loss_weight / pixels)}

    def masks(
        self, instances: Instances, context: tuple[Tensor, ...], size: tuple[int, int], inference: InferenceConfig
    ) -> Masks:
        return Masks(assemble(context[0], instances.parameters, instances.boxes, size, inference))


def assemble(
    prototypes: Tensor, coefficients: Tensor, boxes: Tensor, size: tuple[int, int], inference: InferenceConfig
) -> Tensor:
    """(n, H, W) bool masks from prototypes (k, h, w), coefficients (n, k) and boxes (n, 4), xyxy fractions.

    Args:
        size: (H, W) of the masks.
        inference: crop and threshold.
    """
    corners = boxes if inference.crop else None
    soft = mask_ops.assemble(prototypes, coefficients, corners, padding=inference.crop_padding)
    return mask_ops.binarize(soft, size, inference.mask_threshold)


def reassembled(
    found: Detections, inference: InferenceConfig, coefficients: Tensor | None = None, boxes: Tensor | None = None
) -> Detections:
    """The detections with masks assembled again, as `inference` says, from other coefficients (n, k) or boxes (n, 4) in pixels.

    With neither, the masks are those of the prediction, up to the rounding of the crop's corners.

    Raises:
        UserError: the detections were made without masks.
    """
    prototypes, masks = found.prototypes, found.masks
    if prototypes is None or masks is None or found.coefficients is None:
        raise UserError("inference.intervention: there are no masks to assemble again; set inference.masks to true")
    used = found.coefficients if coefficients is None else coefficients
    corners = found.boxes if boxes is None else boxes
    height, width = masks.shape[-2:]
    fractions = corners / torch.tensor([width, height, width, height], device=corners.device)
    made = assemble(prototypes, used, fractions, (height, width), inference)
    return replace(found, masks=made, coefficients=used, boxes=corners)
