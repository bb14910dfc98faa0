"""What the objects of an image ask of its regions.

g objects, R regions, C classes without background. Classes of regions are 0 for background, or label + 1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou, roi_align

from yolact.models.two_stage.per_image import Truth

POSITIVE_IOU = 0.5
"""IoU with an object from which a region's box, or its mask, is positive."""
MASK_THRESHOLD = 0.4
"""From which a cell of an object's resized mask counts as inside it."""


class Matches(NamedTuple):
    """The object that each region overlaps most."""

    overlap: Tensor
    """(R,) IoU with it; 0 in an image without objects."""
    objects: Tensor
    """(R,) int64 in [0, g)."""
    classes: Tensor
    """(R,) int64: its class from an IoU of one half, else 0."""

    @property
    def positive(self) -> Tensor:
        """(p,) int64: indices of the positive regions."""
        return self.classes.nonzero()[:, 0]

    def at(self, index: Tensor) -> Matches:
        """Those of some regions."""
        return Matches(*(part[index] for part in (self.overlap, self.objects, self.classes)))


def match(truth: Truth, boxes: Tensor) -> Matches:
    """Match regions (R, 4) with the objects by IoU."""
    if not len(truth["boxes"]):
        nothing = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        return Matches(boxes.new_zeros(len(boxes)), nothing, nothing)
    overlap, objects = box_iou(truth["boxes"], boxes.detach()).max(dim=0)
    return Matches(overlap, objects, truth["labels"][objects] * (overlap >= POSITIVE_IOU))


def mask_targets(truth: Truth, objects: Tensor, boxes: Tensor, side: int) -> Tensor:
    """The masks of objects (p,) inside boxes (p, 4), resized to cells: (p, side, side) float32, 0 or 1.

    A cell is the bilinear sample at its centre, from 0.4. The authors' codes cut boxes to whole pixels first.
    """
    if not len(objects):
        return boxes.new_zeros(0, side, side)
    where = torch.cat([objects[:, None].to(boxes.dtype), boxes.detach()], dim=1)
    sampled = roi_align(truth["masks"][:, None].to(boxes.dtype), where, side, sampling_ratio=1, aligned=True)
    return (sampled[:, 0] >= MASK_THRESHOLD).to(boxes.dtype)


def draw(indices: Tensor, count: int) -> Tensor:
    """At most `count` of the indices (n,), drawn from torch's generator; in the order drawn."""
    return indices[torch.randperm(len(indices), device=indices.device)[:count]]
