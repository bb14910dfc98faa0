"""MNC's second and third stage: from warped regions to masks, and from these to classes and boxes.

R regions, K classes with background, c channels, p x p cells of a warped region, s x s cells of a mask.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.faster_rcnn import TwoMLPHead

from yolact.config.model.single_map import MNCConfig


class Verdict(NamedTuple):
    """What the third stage makes of the regions; background comes first."""

    classes: Tensor
    """(R, K) logits of the class of the box."""
    mask_classes: Tensor
    """(R, K) logits of the class of the mask."""
    offsets: Tensor
    """(R, K, 4) of the box."""


class MNCHead(nn.Module):
    """Two branches read a region, one of them its mask alone; both together decide."""

    def __init__(self, config: MNCConfig, num_classes: int) -> None:
        super().__init__()
        side, units, outputs = config.pooled, config.representation, num_classes + 1
        self.mask_side = config.mask_side
        self.mask = nn.Sequential(
            nn.Linear(config.channels * side**2, config.mask_units),
            nn.ReLU(),
            nn.Linear(config.mask_units, config.mask_side**2),
        )
        half = config.channels * (side // 2) ** 2
        self.box_branch, self.mask_branch = TwoMLPHead(half, units), TwoMLPHead(half, units)
        self.classes = nn.Linear(2 * units, outputs)
        self.mask_classes = nn.Linear(2 * units, outputs)
        self.offsets = nn.Linear(2 * units, 4 * outputs)

    def mask_logits(self, warped: Tensor) -> Tensor:
        """(R, s, s) logits of regions (R, c, p, p)."""
        return self.mask(warped.flatten(1)).unflatten(1, (self.mask_side, self.mask_side))

    def forward(self, warped: Tensor, masks: Tensor) -> Verdict:
        """The verdict on regions (R, c, p, p) with masks (R, s, s) in [0, 1]."""
        both = torch.cat([self.mask_branch(self.masked(warped, masks)), self.box_branch(F.max_pool2d(warped, 2))], dim=1)
        return Verdict(self.classes(both), self.mask_classes(both), self.offsets(both).unflatten(1, (-1, 4)))

    @staticmethod
    def masked(warped: Tensor, masks: Tensor) -> Tensor:
        """(R, c, p / 2, p / 2): regions times their masks, the larger of each two by two cells."""
        resized = F.interpolate(masks[:, None], size=warped.shape[-2:], mode="bilinear", align_corners=False)
        return F.max_pool2d(warped * resized, 2)
