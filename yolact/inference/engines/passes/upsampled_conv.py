"""A 3x3 convolution of a map that bilinear interpolation has just doubled, at a quarter of its products.

Interpolation acts on each channel alone, mixing channels on each pixel alone, so the two may change places: each of the nine
taps mixes channels on the small map, and nine cheap interpolations, shifted by a pixel, are added up on the large one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolact.models.masks.protonet import Protonet
from yolact.ops.resampling import FAR, NEAR
from yolact.runtime.compiler import materialize


class UpsampledConv(nn.Module):
    """(n, c, h, w) to (n, o, 2h, 2w), channels last: up to rounding what
    `relu(conv(F.interpolate(x, scale_factor=2, mode="bilinear")))` gives."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        taps = conv.weight.detach().permute(2, 3, 0, 1).reshape(-1, conv.in_channels, 1, 1)
        self.taps = nn.Parameter(taps.contiguous(), requires_grad=False)  # (3 * 3 * o, c, 1, 1), rows of taps first
        bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach().clone()
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, maps: Tensor) -> Tensor:
        n, _, height, width = maps.shape
        mixed = F.conv2d(maps, self.taps).permute(0, 2, 3, 1).reshape(n, height, width, 9, -1)
        taps = mixed.unbind(3)
        by_row = [_doubled(taps[first : first + 3], dim=2) for first in (0, 3, 6)]
        by_column = [_doubled(materialize(torch.stack(three)).unbind(0), dim=1) for three in zip(*by_row, strict=True)]
        rows = [torch.stack([F.relu(each + self.bias) for each in row], dim=3) for row in zip(*by_column, strict=True)]
        return torch.stack(rows, dim=2).reshape(n, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)


class UpsampledProtonet(nn.Module):
    """What `protonet` computes, up to rounding, with the upsampling after the convolution that follows it."""

    def __init__(self, protonet: Protonet) -> None:
        super().__init__()
        self.before, self.output, self.activation = protonet.before, protonet.output, protonet.activation
        self.upsample_and_convolve = UpsampledConv(protonet.after)

    def forward(self, features: Tensor) -> Tensor:
        for conv in self.before:
            features = F.relu(conv(features))
        return self.activation(self.output(self.upsample_and_convolve(features)))


def _doubled(three: Sequence[Tensor], dim: int) -> tuple[Tensor, Tensor]:
    """Each doubled along `dim`, then the first's pixel before, the second's own and the third's next added up; nothing lies
    outside. The even pixels and the odd ones."""
    left, middle, right = three
    place = torch.arange(left.shape[dim], device=left.device)
    last = left.shape[dim] - 1
    before, after = (place - 1).clamp(min=0), (place + 1).clamp(max=last)
    shape = [-1 if axis == dim else 1 for axis in range(left.ndim)]
    not_first, not_last = (place > 0).to(left.dtype).reshape(shape), (place < last).to(left.dtype).reshape(shape)

    def at(maps: Tensor, index: Tensor) -> Tensor:
        return maps.index_select(dim, index)

    even = (
        (NEAR * at(left, before) + FAR * left) * not_first
        + (FAR * at(middle, before) + NEAR * middle)
        + (NEAR * right + FAR * at(right, after))
    )
    odd = (
        (FAR * at(left, before) + NEAR * left)
        + (NEAR * middle + FAR * at(middle, after))
        + (FAR * right + NEAR * at(right, after)) * not_last
    )
    return even, odd
