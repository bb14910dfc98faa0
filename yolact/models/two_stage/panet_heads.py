"""PANet's heads: a first layer for each group of levels, their maximum, and a mask that a fully connected layer adds.

r regions, c channels, C classes without background. Source: PANet paper sections 3.2 and 3.3; ShuLiu1993/PANet
`lib/modeling/{fast_rcnn_heads,mask_rcnn_heads}.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.misc import Conv2dNormActivation

Norm = Callable[[int], nn.Module]
"""Makes the norm of a number of channels."""


class GroupedPool(nn.Module):
    """Pools every region once from each group of levels. In a group of several, the region's size chooses the level."""

    def __init__(self, groups: Sequence[Sequence[str]], size: int) -> None:
        super().__init__()
        self.pools = nn.ModuleList(MultiScaleRoIAlign(list(names), size, sampling_ratio=2) for names in groups)

    def forward(self, features: dict[str, Tensor], boxes: list[Tensor], sizes: list[tuple[int, int]]) -> list[Tensor]:
        """(r, c, size, size) per group, of all images' boxes in their order."""
        return [pool(features, boxes, sizes) for pool in self.pools]


class FusedHead(nn.Module):
    """A first layer per group of levels, the largest of their outputs, and the layers after it."""

    def __init__(self, first: Sequence[nn.Module], rest: nn.Module) -> None:
        super().__init__()
        self.first, self.rest = nn.ModuleList(first), rest

    def forward(self, pooled: Sequence[Tensor]) -> Tensor:
        """Of the regions' features per group, (r, c, h, w) each."""
        outputs = [layer(each) for layer, each in zip(self.first, pooled, strict=True)]
        return self.rest(torch.stack(outputs).amax(dim=0) if len(outputs) > 1 else outputs[0])


class MaskFusion(nn.Module):
    """The mask head's end: logits of a class by convolutions, plus logits for all classes alike by a fully connected layer.

    Official quirk: these go through a ReLU, so that they can only raise the others.

    Args:
        channels: c of the input; the fully connected path ends in half as many.
        side: of the input in cells.
        outputs: C + 1.
        norm: of a number of channels; None for none.
        fully_connected: False leaves that path out.
    """

    def __init__(self, channels: int, side: int, outputs: int, norm: Norm | None, fully_connected: bool) -> None:
        super().__init__()
        half = channels // 2
        self.conv = conv_layer(channels, channels, norm)
        self.upsample = nn.ConvTranspose2d(channels, channels, 2, 2)
        self.logits = nn.Conv2d(channels, outputs, 1)
        self.reduce = self.fc = None
        for module in (self.upsample, self.logits):
            _msra(module)
        if fully_connected:
            self.reduce = nn.Sequential(conv_layer(channels, channels, norm), conv_layer(channels, half, norm))
            self.fc = nn.Linear(half * side**2, (2 * side) ** 2)
            nn.init.normal_(self.fc.weight, std=0.01)
            nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(r, c, side, side) to (r, C + 1, 2 side, 2 side) logits, background first."""
        logits = self.logits(F.relu(self.upsample(self.conv(x))))
        if self.reduce is None or self.fc is None:
            return logits
        whole = F.relu(self.fc(self.reduce(x).flatten(start_dim=1)))
        return logits + whole.reshape(-1, 1, *logits.shape[2:])


def heavy_box_head(groups: int, channels: int, side: int, units: int, norm: Norm | None) -> FusedHead:
    """Four 3x3 convolutions, the first per group of levels, and one fully connected layer."""
    first = [conv_layer(channels, channels, norm) for _ in range(groups)]
    rest = [conv_layer(channels, channels, norm) for _ in range(3)]
    return FusedHead(first, nn.Sequential(*rest, fc_layer(channels * side**2, units, None)))


def light_box_head(groups: int, channels: int, side: int, units: int, norm: Norm | None) -> FusedHead:
    """Two fully connected layers, the first per group of levels."""
    first = [fc_layer(channels * side**2, units, norm) for _ in range(groups)]
    return FusedHead(first, fc_layer(units, units, norm))


def mask_head(groups: int, channels: int, norm: Norm | None) -> FusedHead:
    """The mask head's first three 3x3 convolutions, the first of them per group of levels."""
    first = [conv_layer(channels, channels, norm) for _ in range(groups)]
    return FusedHead(first, nn.Sequential(*(conv_layer(channels, channels, norm) for _ in range(2))))


def conv_layer(inputs: int, outputs: int, norm: Norm | None) -> nn.Module:
    """3x3 convolution, norm if there is one, ReLU."""
    layer = Conv2dNormActivation(inputs, outputs, 3, norm_layer=norm)
    _msra(layer[0])
    return layer


def fc_layer(inputs: int, outputs: int, norm: Norm | None) -> nn.Module:
    """Fully connected layer of flattened maps, norm if there is one, ReLU."""
    linear = nn.Linear(inputs, outputs, bias=norm is None)
    nn.init.kaiming_uniform_(linear.weight, a=1)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.Flatten(), linear, *([norm(outputs)] if norm else ()), nn.ReLU())


def group_norm(groups: int | None) -> Norm | None:
    """GroupNorm of as many groups; None for none."""
    return None if groups is None else partial(nn.GroupNorm, groups)


def _msra(layer: nn.Module) -> None:
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")  # type: ignore[arg-type]
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
