"""Feature pyramid P3..P7 over the backbone's C3..C5.

Source: paper section 4 "YOLACT detector"; reference `yolact.py` FPN. `FPNConfig` has the switches from that to FCOS's.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from yolact.config.model.parts import FPNConfig
from yolact.models.necks.neck import Neck
from yolact.ops.anchors import Sizes


class FPN(Neck):
    """C3, C4, C5 in; P3, P4, P5 (after ReLU, if configured) and the extra levels P6, P7 (without) out, all with `channels`."""

    def __init__(self, config: FPNConfig, in_channels: Sequence[int]) -> None:
        super().__init__()
        width = self.channels = config.channels
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in in_channels)
        self.output = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in in_channels)
        self.mode, self.relu = config.upsample, config.relu
        self.from_features = config.extra_from == "C5"
        below = [in_channels[-1] if self.from_features else width, width][: config.extra_levels]
        self.extra = nn.ModuleList(nn.Conv2d(channels, width, 3, stride=2, padding=1) for channels in below)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        merged = self.lateral[-1](features[-1])
        levels = [merged]
        for feature, lateral in zip(reversed(features[:-1]), reversed(self.lateral[:-1]), strict=True):
            size = (feature.shape[-2], feature.shape[-1])
            merged = lateral(feature) + self._upsample(merged, size)
            levels.insert(0, merged)
        levels = [conv(level) for conv, level in zip(self.output, levels, strict=True)]
        if self.relu:
            levels = [F.relu(level) for level in levels]
        below = features[-1] if self.from_features else levels[-1]
        for index, conv in enumerate(self.extra):
            below = conv(below if self.relu or not index else F.relu(below))
            levels.append(below)
        return levels

    def level_sizes(self, sizes: Sizes) -> Sizes:
        """Every extra level halves, rounding up."""
        for _ in self.extra:
            rows, columns = sizes[-1]
            sizes = [*sizes, ((rows + 1) // 2, (columns + 1) // 2)]
        return sizes

    def _upsample(self, level: Tensor, size: tuple[int, int]) -> Tensor:
        if self.mode == "nearest":
            return F.interpolate(level, size=size, mode="nearest")
        return F.interpolate(level, size=size, mode="bilinear", align_corners=False)
