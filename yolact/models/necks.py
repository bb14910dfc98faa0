"""Feature pyramid P3..P7 over the backbone's C3..C5.

Source: paper section 4 "YOLACT detector"; reference `yolact.py` FPN.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from yolact.config.model import FPNConfig


class FPN(nn.Module):
    """C3, C4, C5 in; P3, P4, P5 (after ReLU) and the extra levels P6, P7 (without) out, every one with `channels`."""

    def __init__(self, config: FPNConfig, in_channels: Sequence[int]) -> None:
        super().__init__()
        width = config.channels
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in in_channels)
        self.output = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in in_channels)
        self.from_features = config.extra_from == "C5"
        below = [in_channels[-1] if self.from_features else width, width][: config.extra_levels]
        self.extra = nn.ModuleList(nn.Conv2d(channels, width, 3, stride=2, padding=1) for channels in below)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Maps of (n, c, h, w), finest first, to as many pyramid levels plus the extra ones, finest first."""
        merged = self.lateral[-1](features[-1])
        levels = [merged]
        for feature, lateral in zip(reversed(features[:-1]), reversed(self.lateral[:-1]), strict=True):
            size = (feature.shape[-2], feature.shape[-1])
            merged = lateral(feature) + F.interpolate(merged, size=size, mode="bilinear", align_corners=False)
            levels.insert(0, merged)
        levels = [F.relu(conv(level)) for conv, level in zip(self.output, levels, strict=True)]
        below = features[-1] if self.from_features else levels[-1]
        for conv in self.extra:
            below = conv(below)
            levels.append(below)
        return levels
