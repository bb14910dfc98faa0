"""CenterNet's heat: around every object's centre a Gaussian, as wide as a box may be moved and still overlap the object.

g objects, lengths in pixels of the map. Source: CenterNet `utils/image.py` gaussian_radius, draw_umich_gaussian.
"""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian_radius(sizes: Tensor, overlap: float, official: bool) -> Tensor:
    """(g,) float radius for boxes of `sizes` (g, 2), by which corners may move and leave an IoU of `overlap`.

    The least of three: one corner moves inwards and the other outwards, both inwards, both outwards. Each is a root of
    a x^2 - b x + c.

    Args:
        official: divide by 2 in the place of 2 a, and take the larger root of all three, as CornerNet and CenterNet do.
    """
    total, area, o = sizes.sum(dim=1), sizes.prod(dim=1), overlap
    one = torch.ones_like(total)
    a = torch.stack([one, 4 * one, 4 * o * one])
    b = torch.stack([total, 2 * total, -2 * o * total])
    c = torch.stack([area * (1 - o) / (1 + o), (1 - o) * area, (o - 1) * area])
    root = (b**2 - 4 * a * c).sqrt()
    if official:
        return ((b + root) / 2).amin(dim=0)
    sign = torch.tensor([[-1], [-1], [1]], device=sizes.device)
    return ((b + sign * root) / (2 * a)).amin(dim=0)


def heat_map(cells: Tensor, planes: Tensor, radius: Tensor, count: int, side: int) -> Tensor:
    """(count, side, side) float32 in [0, 1]: 1 at the objects' cells, the largest of several Gaussians elsewhere.

    Args:
        cells: (g, 2) int64, x and y.
        planes: (g,) int64 in [0, count): the map of each object.
        radius: (g,) int64; a Gaussian fills a square of 2 radius + 1, a sixth of which is its standard deviation.
    """
    line = torch.arange(side, device=cells.device)
    distance = line - cells[:, :, None]  # (g, 2, side)
    within = (distance.abs() <= radius[:, None, None]).float()
    variance = ((2 * radius + 1) / 6).square()[:, None, None]
    values = torch.exp(-distance.square() / (2 * variance)) * within
    heat = values[:, 1, :, None] * values[:, 0, None, :]  # (g, side, side)
    found, heat = heat.new_zeros(count, side * side), heat.flatten(1)
    return found.scatter_reduce_(0, planes[:, None].expand_as(heat), heat, "amax").view(count, side, side)
