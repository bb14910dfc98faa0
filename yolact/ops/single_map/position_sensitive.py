"""Position-sensitive pooling: each part of a region is read from maps of its own.

R regions of one image, D outputs, a group of g x g parts, b x b bins. Source: FCIS paper section 3 (arXiv 1611.07709). Bins are
sampled at their centres, as RoIAlign does; the authors' operator averages the whole feature cells that a bin touches.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import roi_align

_SAMPLES = 1
"""Bilinear samples along each side of a bin: a bin of 21 in a region of half a large image is smaller than a cell."""


def position_sensitive_align(maps: Tensor, regions: Tensor, group: int, bins: int, stride: int) -> Tensor:
    """Bin (y, x) of a region reads the maps of part (y // (b / g), x // (b / g)).

    torchvision's `ps_roi_align` is the case b = g. More bins than parts are one `roi_align` for each part of the regions, which
    takes no more memory than the result.

    Args:
        maps: (D * g * g, h, w) float32, channel (d * g + part's row) * g + part's column.
        regions: (R, 4) float32 xyxy in input pixels.
        group: parts along each side.
        bins: bins along each side, a multiple of `group`.
        stride: input pixels per cell of the maps.

    Returns:
        (R, D, b, b) float32. No gradient reaches the regions.
    """
    side = bins // group
    by_part = maps.reshape(-1, group, group, *maps.shape[-2:])
    corner, cell = regions[:, :2], (regions[:, 2:] - regions[:, :2]) / group
    parts = []
    for row in range(group):
        for column in range(group):
            start = corner + cell * cell.new_tensor([column, row])
            part = torch.cat([start, start + cell], dim=1)
            parts.append(roi_align(by_part[None, :, row, column], [part], side, 1 / stride, _SAMPLES, aligned=True))
    blocks = torch.stack(parts).reshape(group, group, len(regions), len(by_part), side, side)
    return blocks.permute(2, 3, 0, 4, 1, 5).reshape(len(regions), len(by_part), bins, bins)
