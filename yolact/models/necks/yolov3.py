"""YOLOv3's neck: from the coarsest map to the finest, each level concatenated with what the coarser one made.

Source: darknet `cfg/yolov3.cfg`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolact.config.model.boxes.yolov3 import YOLOv3NeckConfig
from yolact.models.backbones.darknet import DarkConv
from yolact.models.layers.initialise import he
from yolact.models.necks.neck import Neck
from yolact.ops.anchors import Sizes

MOMENTUM = 0.01
"""Share of a batch in the running statistics of batch norm."""


class YOLOv3Neck(Neck):
    """Levels at strides 8, 16, 32 of `config.widths` channels. Its lists run from the finest level to the coarsest."""

    def __init__(self, config: YOLOv3NeckConfig, in_channels: Sequence[int]) -> None:
        super().__init__()
        widths = config.widths
        self.channels = widths[0]
        self.links = nn.ModuleList(DarkConv(above, width, 1, momentum=MOMENTUM) for width, above in pairwise(widths))
        below = [channels + width for channels, width in zip(in_channels, widths[:-1], strict=False)] + [in_channels[-1]]
        self.blocks = nn.ModuleList(_block(channels, width) for channels, width in zip(below, widths, strict=True))

    def initialise(self) -> None:
        self.apply(he)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        levels = [self.blocks[-1](features[-1])]
        for feature, link, block in zip(reversed(features[:-1]), reversed(self.links), reversed(self.blocks[:-1]), strict=True):
            above = F.interpolate(link(levels[0]), size=feature.shape[-2:], mode="nearest")
            levels.insert(0, block(torch.cat([above, feature], dim=1)))
        return levels

    def level_sizes(self, sizes: Sizes) -> Sizes:
        return sizes


def _block(in_channels: int, width: int) -> nn.Sequential:
    """1x1 to `width`, 3x3 to twice that, 1x1, 3x3, 1x1."""
    shapes = [
        (in_channels, width, 1),
        (width, 2 * width, 3),
        (2 * width, width, 1),
        (width, 2 * width, 3),
        (2 * width, width, 1),
    ]
    return nn.Sequential(*(DarkConv(*shape, momentum=MOMENTUM) for shape in shapes))
