"""RoI warping: regions of a map stretched to squares, with gradients to the map and to the boxes.

Source: MNC paper section 3.3 (arXiv 1512.04412). Bins are sampled at their centres; the authors' code rounds boxes to whole
cells and samples each bin at its upper left corner.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def warp(features: Tensor, boxes: Tensor, side: int, stride: int) -> Tensor:
    """One bilinear sample at the centre of each bin; beyond the map its border repeats. `roi_align` has no gradient for boxes.

    Args:
        features: (c, h, w) float32 of one image.
        boxes: (R, 4) float32 xyxy in input pixels.
        side: bins along each side.
        stride: input pixels per cell of the features.

    Returns:
        (R, c, side, side) float32.
    """
    channels, height, width = features.shape
    share = (torch.arange(side, dtype=boxes.dtype, device=boxes.device) + 0.5) / side
    pixels = boxes[:, :2, None] + (boxes[:, 2:] - boxes[:, :2])[:, :, None] * share  # (R, 2, side) x, y
    x, y = (pixels * 2 / (stride * boxes.new_tensor([width, height])[:, None]) - 1).unbind(1)
    shape = (len(boxes), side, side)
    grid = torch.stack([x[:, None, :].expand(shape), y[:, :, None].expand(shape)], dim=-1)
    flat = grid.reshape(1, len(boxes) * side, side, 2)
    sampled = F.grid_sample(features[None], flat, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.reshape(channels, *shape).transpose(0, 1)
