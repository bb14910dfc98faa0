"""Backbones: image in, C3, C4 and C5 out (strides 8, 16, 32).

ResNets and MobileNetV2 are torchvision's and keep its parameter names, so its ImageNet files load as they are.
DarkNet-53 follows the reference `backbone.py`.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

from yolact.config.base import ConfigError
from yolact.config.model.parts import BackboneConfig
from yolact.errors import UserError
from yolact.models.custom import construct
from yolact.models.layers.frozen import fold_blocks, folded


class Backbone(nn.Module):
    """(n, 3, h, w) normalised pixels to [C3, C4, C5]; `channels` are theirs."""

    channels: tuple[int, int, int]

    def forward(self, images: Tensor) -> list[Tensor]:
        raise NotImplementedError


class ResNet(Backbone):
    """torchvision's ResNet without its classifier."""

    def __init__(self, network: torchvision.models.ResNet) -> None:
        super().__init__()
        self.conv1, self.bn1 = network.conv1, network.bn1
        self.layer1, self.layer2, self.layer3, self.layer4 = network.layer1, network.layer2, network.layer3, network.layer4
        width = network.fc.in_features
        self.channels = (width // 4, width // 2, width)
        fold_blocks(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        stem = self.bn1(self.conv1(images)) if self.bn1.training or not self.training else folded(self.conv1, self.bn1, images)
        c1 = F.relu(stem)
        c2 = self.layer1(F.max_pool2d(c1, 3, stride=2, padding=1))
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        return [c3, c4, self.layer4(c4)]


class MobileNetV2(Backbone):
    """torchvision's MobileNetV2 without its last 1x1 convolution and classifier."""

    channels = (32, 96, 320)

    def __init__(self, network: torchvision.models.MobileNetV2) -> None:
        super().__init__()
        self.features = network.features[:18]

    def forward(self, images: Tensor) -> list[Tensor]:
        c3 = self.features[:7](images)
        c4 = self.features[7:14](c3)
        return [c3, c4, self.features[14:](c4)]


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
        self.channels = widths[2:]

    def forward(self, images: Tensor) -> list[Tensor]:
        features = [F.relu(self.stem(images))]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features[2:]


class DarkNet53(Backbone):
    """YOLOv3's backbone: leaky ReLU of slope 0.1, no activation after the residual sum."""

    channels = (256, 512, 1024)

    def __init__(self) -> None:
        super().__init__()
        self.stem = _DarkConv(3, 32, 3)
        widths = (32, 64, 128, 256, 512, 1024)
        blocks = (1, 2, 8, 8, 4)
        self.stages = nn.ModuleList(
            nn.Sequential(_DarkConv(a, b, 3, stride=2), *(_DarkBlock(b) for _ in range(count)))
            for (a, b), count in zip(pairwise(widths), blocks, strict=True)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        features = [self.stem(images)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features[3:]


class _DarkConv(nn.Sequential):
    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.LeakyReLU(0.1),
        )


class _DarkBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _DarkConv(channels, channels // 2, 1)
        self.conv2 = _DarkConv(channels // 2, channels, 3)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.conv2(self.conv1(features))


def _conv_bn(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False), nn.BatchNorm2d(out_channels))


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    if in_channels == out_channels and stride == 1:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))


_TORCHVISION = {
    "resnet101": (torchvision.models.resnet101, torchvision.models.ResNet101_Weights.IMAGENET1K_V1, ResNet),
    "resnet50": (torchvision.models.resnet50, torchvision.models.ResNet50_Weights.IMAGENET1K_V1, ResNet),
    "resnet18": (torchvision.models.resnet18, torchvision.models.ResNet18_Weights.IMAGENET1K_V1, ResNet),
    "mobilenet_v2": (torchvision.models.mobilenet_v2, torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1, MobileNetV2),
}


def build_backbone(config: BackboneConfig, pretrained: bool = True) -> Backbone:
    """The backbone that `config` names, with its weights unless `pretrained` is False.

    Raises:
        ConfigError: the name is an import path that leads nowhere, or "imagenet" weights don't exist for it.
        UserError: the weights can't be fetched, read or fitted.
    """
    weights = config.weights if pretrained else None
    if config.name in _TORCHVISION:
        build, imagenet, wrap = _TORCHVISION[config.name]
        network = build(weights=_fetch(imagenet, config.name) if weights == "imagenet" else None)
        backbone: Backbone = wrap(network)
    elif config.name == "resnet_tiny":
        backbone = TinyResNet(config.width)
    elif config.name == "darknet53":
        backbone = DarkNet53()
    else:
        backbone = construct(config.name, "model.backbone.name", Backbone, (config,), config.options)
    if weights == "imagenet" and config.name not in _TORCHVISION:
        raise ConfigError(
            f"backbone.weights: there are no torchvision ImageNet weights for {config.name!r}; give a path, or null",
            "model.backbone.weights",
        )
    if weights not in (None, "imagenet"):
        _load(backbone, Path(weights))
    return backbone


def freeze_batch_norm(backbone: nn.Module) -> None:
    """Hold batch norm at its loaded statistics and affine weights. Call again after every `train()`, which undoes it."""
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval().requires_grad_(False)


def _fetch(imagenet, name: str):
    """torchvision's weights enum member, after making sure that its file is there (downloads into torch hub's cache)."""
    try:
        imagenet.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"ImageNet weights of {name} can't be fetched ({error}). Put {Path(imagenet.url).name} into "
            f"{Path(torch.hub.get_dir()) / 'checkpoints'}, or set model.backbone.weights to a path or to null"
        ) from error
    return imagenet


def _load(backbone: Backbone, path: Path) -> None:
    from yolact.models.checkpoint import read_state_dict
    from yolact.models.official.names import darknet_names

    state = darknet_names(read_state_dict(path)) if isinstance(backbone, DarkNet53) else read_state_dict(path)
    own = backbone.state_dict()
    missing = sorted(own.keys() - state.keys())
    unfit = sorted(name for name in own.keys() & state.keys() if own[name].shape != state[name].shape)
    if missing or unfit:
        raise UserError(f"{path}: not weights of this backbone; missing {missing[:5]}, of another shape {unfit[:5]}")
    backbone.load_state_dict({name: state[name] for name in own})
