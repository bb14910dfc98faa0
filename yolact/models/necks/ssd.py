"""SSD's neck: the backbone's maps, and coarser levels, each made of the one before.

Source: Liu et al., "SSD" (ECCV 2016); torchvision `models/detection/ssd.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolact.config.base import ConfigError
from yolact.config.model.boxes.ssd import SSDNeckConfig
from yolact.models.necks.neck import Neck
from yolact.ops.anchors import Sizes


class SSDNeck(Neck):
    """Levels of `config.widths` channels: C3, C4, C5 through 1x1 convolutions, then as many as `config.strides`."""

    def __init__(self, config: SSDNeckConfig, in_channels: Sequence[int]) -> None:
        super().__init__()
        widths, self.strides = config.widths, config.strides
        self.channels = widths[0]
        self.lateral = nn.ModuleList(nn.Conv2d(before, after, 1) for before, after in zip(in_channels, widths, strict=False))
        self.extra = nn.ModuleList(
            _further(below, width, stride) for (below, width), stride in zip(pairwise(widths[2:]), config.strides, strict=True)
        )
        self.scale = None if config.scale is None else nn.Parameter(torch.full((widths[0],), config.scale))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        levels = [F.relu(conv(feature)) for conv, feature in zip(self.lateral, features, strict=True)]
        if self.scale is not None:
            levels[0] = F.normalize(levels[0], dim=1) * self.scale[:, None, None]
        for further in self.extra:
            levels.append(further(levels[-1]))
        return levels

    def level_sizes(self, sizes: Sizes) -> Sizes:
        """Those of the levels.

        Raises:
            ConfigError: a level would have no cell.
        """
        for stride in self.strides:
            rows, columns = ((side + 1) // 2 if stride == 2 else side - 2 for side in sizes[-1])
            if min(rows, columns) < 1:
                raise ConfigError(
                    f"model.neck.strides: level {len(sizes) + 1} has no cell left above one of {sizes[-1]} cells; "
                    "enlarge model.image_size, or list fewer strides",
                    "model.neck.strides",
                )
            sizes = [*sizes, (rows, columns)]
        return sizes


def _further(below: int, width: int, stride: int) -> nn.Sequential:
    """1x1 to half the width, then 3x3, each with ReLU."""
    return nn.Sequential(
        nn.Conv2d(below, width // 2, 1),
        nn.ReLU(),
        nn.Conv2d(width // 2, width, 3, stride, padding=stride - 1),
        nn.ReLU(),
    )
