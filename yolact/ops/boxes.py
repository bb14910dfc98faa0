"""Boxes: conversions, overlaps, and the encoding of a box against its anchor.

Corner form is xyxy, center form is cxcywh. Every function is free of the unit: both arguments must share it.
Source: paper section 3; reference `layers/box_utils.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor

VARIANCES = (0.1, 0.2)
"""SSD's scaling of center and size offsets."""


def center_to_corner(boxes: Tensor) -> Tensor:
    """(..., 4) cxcywh to (..., 4) xyxy."""
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], dim=-1)


def corner_to_center(boxes: Tensor) -> Tensor:
    """(..., 4) xyxy to (..., 4) cxcywh."""
    return torch.cat([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], dim=-1)


def area(boxes: Tensor) -> Tensor:
    """Areas of (..., 4) xyxy boxes, shape (...)."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def intersection(a: Tensor, b: Tensor) -> Tensor:
    """Intersection areas of (..., n, 4) with (..., m, 4) xyxy boxes, shape (..., n, m)."""
    top_left = torch.maximum(a[..., :, None, :2], b[..., None, :, :2])
    bottom_right = torch.minimum(a[..., :, None, 2:], b[..., None, :, 2:])
    sides = (bottom_right - top_left).clamp(min=0)
    return sides[..., 0] * sides[..., 1]


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of (..., n, 4) with (..., m, 4) xyxy boxes, shape (..., n, m).

    Two boxes without area have IoU nan, as 0/0 is; an anchor always has area.
    """
    shared = intersection(a, b)
    return shared / (area(a)[..., :, None] + area(b)[..., None, :] - shared)


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Regression targets of xyxy `boxes` (n, 4) against cxcywh `anchors` (n, 4): (n, 4) of (tx, ty, tw, th)."""
    target = corner_to_center(boxes)
    offset = (target[..., :2] - anchors[..., :2]) / (VARIANCES[0] * anchors[..., 2:])
    size = torch.log(target[..., 2:] / anchors[..., 2:]) / VARIANCES[1]
    return torch.cat([offset, size], dim=-1)


def decode(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Inverse of `encode`: offsets (..., n, 4) and cxcywh anchors (n, 4) to xyxy boxes (..., n, 4), not clipped."""
    center = anchors[..., :2] + VARIANCES[0] * offsets[..., :2] * anchors[..., 2:]
    size = anchors[..., 2:] * torch.exp(VARIANCES[1] * offsets[..., 2:])
    corner = center - size / 2
    return torch.cat([corner, corner + size], dim=-1)
