"""VoVNetV2: stages of modules that concatenate all their convolutions once, at their end.

n images, L convolutions per module, c their channels, o the channels that come out.
Source: Lee & Park, "CenterMask" (CVPR 2020), section 3.3; centermask2 `modeling/backbone/vovnet.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolact.models.backbones.backbone import Backbone
from yolact.ops.anchors import Sizes


class Body(NamedTuple):
    """One of the published networks. Stages are numbered 2 to 5, by the power of two of their stride."""

    convs: int
    """L."""
    modules: tuple[int, int, int, int]
    """Modules of each stage."""
    stem: tuple[int, int, int] = (64, 64, 128)
    inner: tuple[int, int, int, int] = (128, 160, 192, 224)
    """c of each stage."""
    outer: tuple[int, int, int, int] = (256, 512, 768, 1024)
    """o of each stage."""
    depthwise: bool = False
    """3x3 convolutions are depthwise, each followed by a pointwise one."""


_SLIM: Mapping = {"inner": (64, 80, 96, 112), "outer": (112, 256, 384, 512)}
BODIES = {
    "vovnet19_slim_dw": Body(3, (1, 1, 1, 1), stem=(64, 64, 64), **_SLIM, depthwise=True),
    "vovnet19_slim": Body(3, (1, 1, 1, 1), **_SLIM),
    "vovnet19": Body(3, (1, 1, 1, 1)),
    "vovnet39": Body(5, (1, 1, 2, 2)),
    "vovnet57": Body(5, (1, 1, 4, 3)),
    "vovnet99": Body(5, (1, 3, 9, 3)),
}


def tiny_body(width: int) -> Body:
    """The toy scale's stand-in, trained from scratch within minutes; `width` is a multiple of 4."""
    inner = (width, width * 5 // 4, width * 3 // 2, width * 7 // 4)
    return Body(3, (1, 1, 1, 1), (width, width, width * 2), inner, (width * 2, width * 4, width * 6, width * 8))


class VoVNet(Backbone):
    """VoVNetV2 without its classifier.

    Pooling between stages reaches beyond the map where a side is odd, so that halvings after the stem round down: 550 pixels
    make C3 of 69, C4 of 34 and C5 of 17 cells, where a ResNet makes 69, 35 and 18.
    """

    def __init__(self, body: Body) -> None:
        super().__init__()
        first, second, third = body.stem
        separable = body.depthwise
        self.stem = nn.Sequential(
            _Conv(3, first, 2), _Conv(first, second, 1, depthwise=separable), _Conv(second, third, 2, depthwise=separable)
        )
        widths = (third, *body.outer)
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Module(after if index else before, inner, after, body, index > 0) for index in range(count)))
            for (before, after), inner, count in zip(pairwise(widths), body.inner, body.modules, strict=True)
        )
        self.c2_channels, self.channels = body.outer[0], body.outer[1:]

    def forward(self, images: Tensor) -> list[Tensor]:
        features = [self.stages[0](self.stem(images))]
        for stage in self.stages[1:]:
            features.append(stage(F.max_pool2d(features[-1], 3, stride=2, ceil_mode=True)))
        return self.chosen(features)

    def level_sizes(self, side: int) -> Sizes:
        stem = (side + 3) // 4
        return [(stem >> halvings, stem >> halvings) for halvings in range(0 if self.gives_c2 else 1, 4)]


class _Conv(nn.Module):
    """3x3 convolution, or depthwise 3x3 and pointwise 1x1, then batch norm and ReLU."""

    def __init__(self, before: int, after: int, stride: int = 1, kernel: int = 3, depthwise: bool = False) -> None:
        super().__init__()
        groups, middle = (before, before) if depthwise else (1, after)
        self.conv = nn.Conv2d(before, middle, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.pointwise = nn.Conv2d(middle, after, 1, bias=False) if depthwise else None
        self.norm = nn.BatchNorm2d(after)

    def forward(self, features: Tensor) -> Tensor:
        made = self.conv(features)
        if self.pointwise is not None:
            made = self.pointwise(made)
        return F.relu(self.norm(made))


class _Module(nn.Module):
    """One-shot aggregation: L convolutions, each of the one before; input and all L are concatenated and joined by a 1x1.

    Channel attention follows, then the input is added if `identity`.
    """

    def __init__(self, before: int, inner: int, after: int, body: Body, identity: bool) -> None:
        super().__init__()
        separable = body.depthwise
        self.reduction = _Conv(before, inner, kernel=1) if separable and before != inner else None
        widths = [inner if separable else before] + [inner] * body.convs
        self.layers = nn.ModuleList(_Conv(a, b, depthwise=separable) for a, b in pairwise(widths))
        self.concat = _Conv(before + body.convs * inner, after, kernel=1)
        self.attention = EffectiveSqueezeExcitation(after)
        self.identity = identity

    def forward(self, features: Tensor) -> Tensor:
        parts = [features]
        made = features if self.reduction is None else self.reduction(features)
        for layer in self.layers:
            made = layer(made)
            parts.append(made)
        joined = self.attention(self.concat(torch.cat(parts, dim=1)))
        return joined + features if self.identity else joined


class EffectiveSqueezeExcitation(nn.Module):
    """Effective squeeze-and-excitation (eSE): each channel times a hard sigmoid of one linear map of all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        return features * F.hardsigmoid(self.fc(F.adaptive_avg_pool2d(features, 1)))
