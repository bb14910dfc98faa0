"""FCOS: boxes as distances from points, and which points answer for which object.

P points, n objects. Distances run left, top, right, bottom (ltrb). `yolact.ops.anchors.make_points` makes the points.
Source: Tian et al., "FCOS" (ICCV 2019, TPAMI 2021).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_area

from yolact.ops.matching import BACKGROUND, NEUTRAL, Matches


class Points(NamedTuple):
    """The points of all levels, in input pixels."""

    xy: Tensor
    """(P, 2)."""
    stride: Tensor
    """(P,)."""
    low: Tensor
    """(P,): the least that the largest of an object's four distances may be, inclusive."""
    high: Tensor
    """(P,): the most, inclusive."""


def points_of(locations: Tensor, image_size: int, sizes_of_interest: tuple[float, ...], finest_stride: int = 8) -> Points:
    """Points from locations (P, 4) of `make_points`.

    Args:
        image_size: side of the input in pixels.
        sizes_of_interest: in pixels, ascending; the i-th is the upper end of the i-th level's range and the lower end of the
            next. The last level has no upper end.
        finest_stride: of the first level.
    """
    pixels = (locations * image_size).round()  # points and strides are whole pixels
    ends = torch.tensor([-1.0, *sizes_of_interest, torch.inf], device=locations.device)
    level = torch.log2(pixels[:, 2] / finest_stride).round().long()
    return Points(pixels[:, :2], pixels[:, 2], ends[level], ends[level + 1])


def match_points(
    boxes: Tensor, labels: Tensor, crowds: Tensor, centres: Tensor, points: Points, radius: float | None
) -> Matches:
    """Match the points of one image: each goes to the smallest object whose centre region contains it at a fitting level.

    A point may belong to an object if it lies strictly inside both the box and the square of `radius` strides around the
    object's centre, and if the largest of its four distances is in the range of its level. Of several objects the one of least
    area takes it, of equal ones the first. An object may remain without points.

    Args:
        boxes: (n, 4) xyxy of the objects in input pixels.
        labels: (n,) int64 in [0, C).
        crowds: (m, 4) xyxy of crowd regions; background points strictly inside are neutral.
        centres: (n, 2) x, y of the objects' centres in input pixels.
        points: of all levels.
        radius: half a side of the centre region in strides; None takes the whole box.
    """
    classes = torch.full_like(points.stride, BACKGROUND, dtype=torch.int64)
    objects = torch.zeros_like(classes)
    if len(boxes):
        sides = distances(points.xy[:, None], boxes)  # (P, n, 4)
        inside = sides.amin(dim=2) > 0
        if radius is not None:
            reach = (radius * points.stride)[:, None, None]
            inside &= ((points.xy[:, None] - centres).abs() < reach).all(dim=2)
        farthest = sides.amax(dim=2)
        fits = inside & (farthest >= points.low[:, None]) & (farthest <= points.high[:, None])
        smallest, objects = torch.where(fits, box_area(boxes), torch.inf).min(dim=1)
        classes = torch.where(smallest < torch.inf, labels[objects] + 1, BACKGROUND)
    if len(crowds):
        covered = (distances(points.xy[:, None], crowds).amin(dim=2) > 0).any(dim=1)
        classes[covered & (classes == BACKGROUND)] = NEUTRAL
    return Matches(classes, objects)


def distances(xy: Tensor, boxes: Tensor) -> Tensor:
    """(..., 4) ltrb from points (..., 2) to the sides of xyxy boxes (..., 4); negative beyond a side."""
    return torch.cat(torch.broadcast_tensors(xy - boxes[..., :2], boxes[..., 2:] - xy), dim=-1)


def encode(boxes: Tensor, locations: Tensor) -> Tensor:
    """(..., 4) ltrb in strides from locations (..., 4), whose w and h are the stride, to the sides of xyxy boxes (..., 4)."""
    return distances(locations[..., :2], boxes) / locations[..., 2:3]


def decode(ltrb: Tensor, locations: Tensor) -> Tensor:
    """Inverse of `encode`: xyxy boxes (..., 4), not clipped."""
    sides = ltrb * locations[..., 2:3]
    return torch.cat([locations[..., :2] - sides[..., :2], locations[..., :2] + sides[..., 2:]], dim=-1)


def centerness(ltrb: Tensor) -> Tensor:
    """(...) in [0, 1] from positive distances (..., 4): 1 at the centre of the box, 0 at its sides."""
    pairs = torch.stack([ltrb[..., 0::2], ltrb[..., 1::2]], dim=-2)  # (..., 2, 2): left and right, top and bottom
    return (pairs.amin(dim=-1) / pairs.amax(dim=-1)).prod(dim=-1).sqrt()
