"""YOLACT's mask branch: prototypes for the whole image, coefficients per anchor, one matrix product.

Source: paper sections 3.1 to 3.3; reference `layers/modules/multibox_loss.py` lincomb_mask_loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from yolact.config.inference import InferenceConfig
from yolact.config.mask_branch import PrototypeConfig
from yolact.models.masks.protonet import Protonet
from yolact.models.one_stage.mask_branch import MaskBranch, MaskTargets
from yolact.ops import masks as mask_ops


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
        kept = [self._choose(count, seed) for count, seed in zip(targets.counts, targets.seeds, strict=True)]
        chosen, counts = _numbered(kept, targets.counts).to(maps.device), [len(each) for each in kept]
        objects = targets.objects[chosen]
        boxes = targets.boxes[objects]
        parameters = targets.parameters[chosen].split(counts)
        predicted = torch.cat([mask_ops.assemble(own, rows) for own, rows in zip(maps, parameters, strict=True)])
        if config.crop_in_loss:
            predicted = mask_ops.crop(predicted, boxes, config.crop_padding)
        truth = downsample(targets.masks, size)[objects]  # (q, h, w)
        per_mask = F.binary_cross_entropy(predicted.nan_to_num(), truth, reduction="none").sum(dim=(1, 2))
        pixels = size[0] * size[1]
        if config.crop_in_loss:
            per_mask = per_mask / (boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1])
        if counts != list(targets.counts):
            scales = [count / max(1, each) for count, each in zip(targets.counts, counts, strict=True)]
            per_mask = per_mask * torch.repeat_interleave(torch.tensor(scales), torch.tensor(counts)).to(per_mask)
        return per_mask.sum() * (config.loss_weight / pixels)

    def assemble(
        self, parameters: Tensor, maps: Tensor | None, boxes: Tensor, size: tuple[int, int], config: InferenceConfig
    ) -> Tensor:
        maps = cast(Tensor, maps)
        probabilities = mask_ops.assemble(maps, parameters, boxes if config.crop else None, padding=config.crop_padding)
        return mask_ops.binarize(probabilities, size, config.mask_threshold)

    def _choose(self, positives: int, seed: int) -> Tensor:
        """Which positives of an image stand for all."""
        cap = self.config.max_masks_per_image
        if positives <= cap:
            return torch.arange(positives)
        return torch.randperm(positives, generator=torch.Generator().manual_seed(seed))[:cap]


def _numbered(chosen: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
    """Numbers within each image, of which it has `counts`, as numbers within the batch."""
    starts = accumulate(counts, initial=0)
    return torch.cat([each + start for each, start in zip(chosen, starts, strict=False)])


def downsample(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """(n, S, S) 0/1 masks to (n, h, w) float 0/1: bilinear, then above one half (reference: `.gt(0.5)`)."""
    if not len(masks):
        return masks.new_zeros((0, *size), dtype=torch.float32)
    # images of one channel: many channels of one image would be laid out anew, channels last, in four times the time
    return (F.interpolate(masks[:, None].float(), size=size, mode="bilinear", align_corners=False)[:, 0] > 0.5).float()
