"""YOLACT's mask branch: prototypes for the whole image, coefficients per anchor, one matrix product.

Source: paper sections 3.1 to 3.3; reference `layers/modules/multibox_loss.py` lincomb_mask_loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from yolact import masks as mask_ops
from yolact.branches.base import MaskBranch, MaskTargets
from yolact.config.inference import InferenceConfig
from yolact.config.model import PrototypeConfig
from yolact.protonet import Protonet


class PrototypeBranch(MaskBranch):
    """Linear combination of prototypes."""

    maps_section = "protonet"

    def __init__(self, config: PrototypeConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        self.protonet = Protonet(config, channels)
        self.parameters_per_anchor = config.k

    def maps(self, levels: Sequence[Tensor]) -> Tensor:
        """(n, k, h, w) prototypes, h and w twice those of the source level."""
        return self.protonet(levels[self.config.source - 3])

    def activate(self, raw: Tensor) -> Tensor:
        return torch.tanh(raw) if self.config.coefficient_activation == "tanh" else raw

    def loss(self, targets: MaskTargets) -> Tensor:
        """Pixelwise binary cross entropy of the assembled masks against ground truth at prototype resolution.

        With the crop, each mask's sum is divided by its ground-truth box's area in prototype pixels; without, by the number of
        prototype pixels. The target is not cropped. Beyond `max_masks_per_image` positives a random choice stands for all.
        """
        config, maps = self.config, cast(Tensor, targets.maps)
        size = (maps.shape[-2], maps.shape[-1])
        chosen, scale = self._choose(len(targets.objects), targets.seed, maps.device)
        objects = targets.objects[chosen]
        truth = downsample(targets.masks, size)[objects]  # (q, h, w)
        boxes = targets.boxes[objects]
        predicted = mask_ops.assemble(
            maps, targets.parameters[chosen], boxes if config.crop_in_loss else None, padding=config.crop_padding
        )
        per_mask = F.binary_cross_entropy(predicted.nan_to_num(), truth, reduction="none").sum(dim=(1, 2))
        pixels = size[0] * size[1]
        if config.crop_in_loss:
            per_mask = per_mask / (boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1])
        return per_mask.sum() * (config.loss_weight * scale / pixels)

    def assemble(
        self, parameters: Tensor, maps: Tensor | None, boxes: Tensor, size: tuple[int, int], config: InferenceConfig
    ) -> Tensor:
        maps = cast(Tensor, maps)
        probabilities = mask_ops.assemble(maps, parameters, boxes if config.crop else None, padding=config.crop_padding)
        return mask_ops.binarize(probabilities, size, config.mask_threshold)

    def _choose(self, positives: int, seed: int, device: torch.device) -> tuple[Tensor, float]:
        cap = self.config.max_masks_per_image
        if positives <= cap:
            return torch.arange(positives, device=device), 1.0
        order = torch.randperm(positives, generator=torch.Generator().manual_seed(seed))
        return order[:cap].to(device), positives / cap


def downsample(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """(n, S, S) 0/1 masks to (n, h, w) float 0/1: bilinear, then above one half (reference: `.gt(0.5)`)."""
    if not len(masks):
        return masks.new_zeros((0, *size), dtype=torch.float32)
    return (F.interpolate(masks[None].float(), size=size, mode="bilinear", align_corners=False)[0] > 0.5).float()
