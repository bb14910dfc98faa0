"""ResNets: torchvision's, and a small one of a block per stage."""

from __future__ import annotations

from itertools import pairwise

import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

from yolact.models.backbones.backbone import Backbone
from yolact.models.layers.frozen import fold_blocks, folded


class ResNet(Backbone):
    """torchvision's ResNet without its classifier."""

    def __init__(self, network: torchvision.models.ResNet) -> None:
        super().__init__()
        self.conv1, self.bn1 = network.conv1, network.bn1
        self.layer1, self.layer2, self.layer3, self.layer4 = network.layer1, network.layer2, network.layer3, network.layer4
        width = network.fc.in_features
        self.c2_channels, self.channels = width // 8, (width // 4, width // 2, width)
        fold_blocks(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        stem = self.bn1(self.conv1(images)) if self.bn1.training or not self.training else folded(self.conv1, self.bn1, images)
        c1 = F.relu(stem)
        c2 = self.layer1(F.max_pool2d(c1, 3, stride=2, padding=1))
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        return self.chosen([c2, c3, c4, self.layer4(c4)])

    @property
    def last_stage(self) -> nn.Module:
        return self.layer4


class TinyResNet(Backbone):
    """One basic block per stage and a 3x3 stem: the toy scale's stand-in, trained from scratch within minutes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = _conv_bn(3, width, stride=2)
        widths = (width, width, width * 2, width * 4, width * 8)
        strides = (2, 2, 2, 2)  # the first stage strides instead of a max pool
        self.stages = nn.ModuleList(
            BasicBlock(a, b, stride, _shortcut(a, b, stride)) for (a, b), stride in zip(pairwise(widths), strides, strict=True)
        )
        self.c2_channels, self.channels = width, widths[2:]

    def forward(self, images: Tensor) -> list[Tensor]:
        features = [F.relu(self.stem(images))]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return self.chosen(features[1:])

    @property
    def last_stage(self) -> nn.Module:
        return self.stages[-1]


def _conv_bn(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False), nn.BatchNorm2d(out_channels))


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    if in_channels == out_channels and stride == 1:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))
