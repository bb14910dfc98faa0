"""Box regression: offsets of a box against its anchor. Conversions, areas and IoU are torchvision's (`torchvision.ops`).

Corner form is xyxy, center form is cxcywh. The unit is free: both arguments share it.
Source: paper section 3; reference `layers/box_utils.py`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchvision.ops import box_convert

VARIANCES = (0.1, 0.2)
"""SSD's scaling of center and size offsets."""
MOST_GROWTH = math.log(1000 / 16)
"""torchvision's limit of a decoded side against its anchor's, as a natural logarithm."""


def intersection(a: Tensor, b: Tensor) -> Tensor:
    """Intersection areas of (..., n, 4) with (..., m, 4) xyxy boxes, shape (..., n, m).

    torchvision computes them as a private step of `box_iou` only.
    """
    top_left = torch.maximum(a[..., :, None, :2], b[..., None, :, :2])
    bottom_right = torch.minimum(a[..., :, None, 2:], b[..., None, :, 2:])
    sides = (bottom_right - top_left).clamp(min=0)
    return sides[..., 0] * sides[..., 1]


def encode(boxes: Tensor, anchors: Tensor, variances: tuple[float, float] = VARIANCES) -> Tensor:
    """Regression targets of xyxy `boxes` (n, 4) against cxcywh `anchors` (n, 4): (n, 4) of (tx, ty, tw, th)."""
    target = box_convert(boxes, "xyxy", "cxcywh")
    offset = (target[..., :2] - anchors[..., :2]) / (variances[0] * anchors[..., 2:])
    size = torch.log(target[..., 2:] / anchors[..., 2:]) / variances[1]
    return torch.cat([offset, size], dim=-1)


def decode(
    offsets: Tensor, anchors: Tensor, variances: tuple[float, float] = VARIANCES, most_growth: float | None = None
) -> Tensor:
    """Inverse of `encode`: offsets (..., n, 4) and cxcywh anchors (n, 4) to xyxy boxes (..., n, 4), not clipped.

    Args:
        most_growth: the largest natural logarithm of a side against its anchor's; None has no limit.
    """
    center = anchors[..., :2] + variances[0] * offsets[..., :2] * anchors[..., 2:]
    growth = variances[1] * offsets[..., 2:]
    growth = growth if most_growth is None else growth.clamp(max=most_growth)
    size = anchors[..., 2:] * torch.exp(growth)
    corner = center - size / 2
    return torch.cat([corner, corner + size], dim=-1)


def ordered(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The smaller and the larger of two tensors, element by element."""
    return torch.minimum(a, b), torch.maximum(a, b)
