"""DarkNet-53. Source: reference `backbone.py`."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from yolact.models.backbones.backbone import Backbone


class DarkNet53(Backbone):
    """YOLOv3's backbone: leaky ReLU of slope 0.1, no activation after the residual sum."""

    c2_channels = 128
    channels = (256, 512, 1024)

    def __init__(self) -> None:
        super().__init__()
        self.stem = DarkConv(3, 32, 3)
        widths = (32, 64, 128, 256, 512, 1024)
        blocks = (1, 2, 8, 8, 4)
        self.stages = nn.ModuleList(
            nn.Sequential(DarkConv(a, b, 3, stride=2), *(_DarkBlock(b) for _ in range(count)))
            for (a, b), count in zip(pairwise(widths), blocks, strict=True)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        features = [self.stem(images)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return self.chosen(features[2:])

    @property
    def last_stage(self) -> nn.Module:
        return self.stages[-1]


class DarkConv(nn.Sequential):
    """Convolution without bias, batch norm, leaky ReLU of slope 0.1."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, momentum: float = 0.1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(out_channels, momentum=momentum),
            nn.LeakyReLU(0.1),
        )


class _DarkBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = DarkConv(channels, channels // 2, 1)
        self.conv2 = DarkConv(channels // 2, channels, 3)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.conv2(self.conv1(features))
