"""Regions of interest: which level each is pooled from, pooling, and an object's mask inside a region.

d regions, g objects, S the side of the input. Boxes are xyxy in pixels of the input.
Source: Lin et al., "Feature Pyramid Networks" (CVPR 2017), eq. 1; Lee and Park, "CenterMask" (CVPR 2020), eq. 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_area, roi_align

FINEST = 3
"""Number of the first level, P3, whose stride is 8; each further level doubles it."""


def level_by_area(boxes: Tensor, highest: int, canonical_size: float, canonical_level: int) -> Tensor:
    """(d,) int64 in [3, highest]: a region of `canonical_size`² pixels comes from `canonical_level`, one of twice the side from
    the next level. Source: FPN eq. 1."""
    scale = box_area(boxes).clamp(min=0).sqrt() / canonical_size
    return _bounded(torch.floor(canonical_level + torch.log2(scale + 1e-6)), highest)


def level_by_ratio(boxes: Tensor, highest: int, image_size: int) -> Tensor:
    """(d,) int64 in [3, highest]: a region of more than half the image's area comes from the highest level, of more than a
    quarter from the level below, and so on. Source: CenterMask eq. 2."""
    ratio = image_size**2 / box_area(boxes).clamp(min=0)
    return _bounded(torch.ceil(highest - torch.log2(ratio)), highest)


def _bounded(level: Tensor, highest: int) -> Tensor:
    return level.nan_to_num(FINEST, posinf=highest, neginf=FINEST).clamp(FINEST, highest).long()


def pool_regions(
    levels: Sequence[Tensor], level: Tensor, image: Tensor, boxes: Tensor, side: int, samples: int, aligned: bool
) -> Tensor:
    """RoIAlign, each region from its own level.

    Args:
        levels: (n, c, h, w), P3 first.
        level: (d,) int64: number of each region's level, 3 is P3.
        image: (d,) int64 in [0, n).
        boxes: (d, 4).
        side: bins per side.
        samples: per bin and side; 0 takes as many as there are pixels.
        aligned: shift by half a pixel, so that pixel centres lie at + 0.5. The first version of RoIAlign doesn't, and makes
            regions at least one pixel of their level wide and high.

    Returns:
        (d, c, side, side).
    """
    regions = torch.cat([image[:, None].to(boxes), boxes], dim=1)
    pooled, order = [], []
    for number, features in enumerate(levels, start=FINEST):
        (own,) = (level == number).nonzero(as_tuple=True)
        pooled.append(roi_align(features, regions[own], side, 0.5**number, samples, aligned))
        order.append(own)
    return torch.cat(pooled)[torch.cat(order).argsort()]


def masks_in_regions(masks: Tensor, objects: Tensor, boxes: Tensor, side: int) -> Tensor:
    """(d, side, side) float 0/1: the part of an object's mask in each region. A cell is 1 where at least half of it is covered.

    Args:
        masks: (g, S, S) uint8 0/1.
        objects: (d,) int64 in [0, g).
        boxes: (d, 4).
        side: cells per side.

    Source: detectron2 `structures/masks.py` BitMasks.crop_and_resize.
    """
    regions = torch.cat([objects[:, None].to(boxes), boxes], dim=1)
    return (roi_align(masks[:, None].to(boxes), regions, side, 1.0, 0, True)[:, 0] >= 0.5).to(boxes)


def area_share(masks: Tensor, objects: Tensor, boxes: Tensor, whole_pixels: bool = False) -> Tensor:
    """(d,) float32 in [0, 1]: the part of an object's area that lies in each region; 0 for an empty mask.

    Args:
        masks: (g, H, W) uint8 0/1.
        objects: (d,) int64 in [0, g).
        boxes: (d, 4); what reaches beyond the mask is cut off.
        whole_pixels: cut corners to whole pixels, and make regions at least one pixel wide and high, as mmdetection does.
            Otherwise pixels on the border count by the part that is covered.
    """
    if whole_pixels:
        corner = boxes[:, :2].trunc()
        boxes = torch.cat([corner, torch.maximum(boxes[:, 2:].trunc(), corner + 1)], dim=1)
    table = integral_image(masks)
    x1, y1, x2, y2 = boxes.double().unbind(1)
    at = [_interpolated(table, objects, *corner) for corner in ((x2, y2), (x1, y2), (x2, y1), (x1, y1))]
    inside = (at[0] - at[1] - at[2] + at[3]).clamp(min=0)
    return (inside / table[objects, -1, -1].clamp(min=1)).clamp(max=1).float()


def integral_image(masks: Tensor) -> Tensor:
    """(g, H + 1, W + 1) int32: at (y, x) the sum of (g, H, W) uint8 masks over rows before y and columns before x."""
    return F.pad(masks.to(torch.int32).cumsum(1, dtype=torch.int32).cumsum(2, dtype=torch.int32), (1, 0, 1, 0))


def _interpolated(table: Tensor, objects: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(d,) float64 of an integral image (g, H + 1, W + 1) at float x, y (d,): exact, since it is bilinear inside a pixel."""
    (left, right, across), (above, below, down) = (
        _between(value, size - 1) for value, size in ((x, table.shape[2]), (y, table.shape[1]))
    )
    upper = torch.lerp(table[objects, above, left].double(), table[objects, above, right].double(), across)
    lower = torch.lerp(table[objects, below, left].double(), table[objects, below, right].double(), across)
    return torch.lerp(upper, lower, down)


def _between(value: Tensor, last: int) -> tuple[Tensor, Tensor, Tensor]:
    value = value.nan_to_num().clamp(0, last)
    low = value.floor()
    return low.long(), low.long().add(1).clamp(max=last), value - low
