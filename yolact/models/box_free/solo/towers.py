"""What the branches of SOLO's heads are made of: towers, pixel coordinates, resizing. n images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolact.config.model.solo import CellHeadConfig
from yolact.models.layers.initialise import normal, set_prior


def conv(before: int, after: int, groups: int, kernel: int = 3) -> nn.Sequential:
    """Convolution without bias, GroupNorm, ReLU."""
    convolution = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(groups, after), nn.ReLU())


def tower(channels: int, config: CellHeadConfig) -> nn.Sequential:
    """The configured number of 3x3 `conv`s."""
    widths = [channels] + [config.width] * config.convs
    return nn.Sequential(*(conv(before, after, config.groups) for before, after in pairwise(widths)))


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """(n, c, h, w) to (n, c, *size): bilinear, without antialiasing."""
    if tuple(maps.shape[-2:]) == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def size_of(maps: Tensor, factor: int = 1) -> tuple[int, int]:
    """(h, w) of maps (..., h, w), each `factor` times."""
    return maps.shape[-2] * factor, maps.shape[-1] * factor


def with_coordinates(maps: Tensor, axes: str = "xy") -> Tensor:
    """(n, c, h, w) with a channel more for each of `axes`: -1 at the first column or row, 1 at the last, linear between."""
    height, width = size_of(maps)
    lines = {
        "x": torch.linspace(-1, 1, width, device=maps.device, dtype=maps.dtype).expand(height, width),
        "y": torch.linspace(-1, 1, height, device=maps.device, dtype=maps.dtype)[:, None].expand(height, width),
    }
    added = torch.stack([lines[axis] for axis in axes])
    return torch.cat([maps, added.expand(len(maps), *added.shape)], dim=1)


def spread(levels: Sequence[Tensor]) -> list[Tensor]:
    """P2 to P6 as the head reads them: P2 at P3's size and P6 at P5's, so that strides are 8, 8, 16, 32, 32."""
    finest, *middle, coarsest = levels
    return [resize(finest, size_of(levels[1])), *middle, resize(coarsest, size_of(levels[3]))]


class CategoryBranch(nn.Module):
    """P2 to P6, resized to the grids, to the category logits (n, K, C) of all K cells, level by level and row by row."""

    def __init__(self, channels: int, config: CellHeadConfig, num_classes: int) -> None:
        super().__init__()
        self.tower = tower(channels, config)
        self.output = nn.Conv2d(config.width, num_classes, 3, padding=1)

    def initialise(self) -> None:
        """Draw the weights."""
        self.apply(normal)
        set_prior(self.output)

    def forward(self, grids: Sequence[Tensor]) -> Tensor:
        """Args: `spread` levels at their grids' sizes, (n, c, side, side) each."""
        return torch.cat([cells(self.output(self.tower(grid))) for grid in grids], dim=1)


def cells(maps: Tensor) -> Tensor:
    """(n, c, h, w) as (n, h * w, c)."""
    return maps.flatten(2).transpose(1, 2)
