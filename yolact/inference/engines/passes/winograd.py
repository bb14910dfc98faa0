"""3x3 convolutions at a quarter of their products, by Winograd's F(4x4, 3x3), for the CPU in float32.

Each tile of 4x4 outputs depends on 6x6 inputs. Transformed, 36 numbers of each tile and channel are mixed over channels by 36
matrices, which is a grouped 1x1 convolution, and transformed back. On large maps with many channels that takes half the time of
the plain convolution. Rounding errors are six times as large: 4e-5 for outputs around 1.

Source: A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, section 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolact.inference.engines.passes.plain_conv import is_plain
from yolact.runtime.compiler import materialize

_TILE = 4
_INPUT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_KERNEL = ((6, 0, 0), (-4, -4, -4), (-4, 4, -4), (1, 2, 4), (1, -2, 4), (0, 0, 24))
"""In 24ths."""
_OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
FEWEST_CHANNELS, SMALLEST_SIDE = 128, 48
"""Below either, the plain convolution is the faster one (AMD EPYC, two cores: half the time at 256 channels of 69 x 69, nine
tenths at 35 x 35, more at 64 channels)."""


class WinogradConv(nn.Module):
    """What `conv` gives, up to rounding: (n, c, h, w) to (n, o, h, w) float32, channels last. Small maps take the plain way."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach(), requires_grad=False)
        bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
        self.bias = nn.Parameter(bias, requires_grad=False)
        self.mixing = nn.Parameter(_mixing(conv.weight.detach()), requires_grad=False)

    def forward(self, maps: Tensor) -> Tensor:
        n, channels, height, width = maps.shape
        if min(height, width) < SMALLEST_SIDE:
            return F.conv2d(maps, self.weight, self.bias, padding=1)
        down, across = -(-height // _TILE), -(-width // _TILE)
        margin = (0, 0, 1, _TILE * across + 1 - width, 1, _TILE * down + 1 - height)
        padded = F.pad(maps.permute(0, 2, 3, 1), margin)
        # (n, down, 6, columns, c), then (n, down, across, 6, 6, c)
        rows = _transformed([padded[:, i : i + _TILE * down - 3 : _TILE] for i in range(6)], _INPUT, dim=2)
        columns = [rows[:, :, :, j : j + _TILE * across - 3 : _TILE].transpose(2, 3) for j in range(6)]
        tiles = _transformed(columns, _INPUT, dim=4).reshape(n, down, across, 36 * channels)
        mixed = F.conv2d(tiles.permute(0, 3, 1, 2), self.mixing, groups=36).permute(0, 2, 3, 1)
        mixed = mixed.reshape(n, down, across, 6, 6, -1)
        rows = _transformed(mixed.unbind(3), _OUTPUT, dim=3)  # (n, down, across, 4, 6, o)
        made = _transformed([each.transpose(2, 3) for each in rows.unbind(4)], _OUTPUT, dim=4)  # (n, down, 4, across, 4, o)
        made = made.reshape(n, _TILE * down, _TILE * across, -1)[:, :height, :width]
        return materialize(made + self.bias).permute(0, 3, 1, 2)


def takes_the_place_of(conv: nn.Conv2d) -> bool:
    """Whether `conv` is one that `WinogradConv` reproduces and is faster than, where its map is large enough."""
    large = min(conv.in_channels, conv.out_channels) >= FEWEST_CHANNELS
    return is_plain(conv) and large and conv.weight.dtype == torch.float32


def _mixing(weight: Tensor) -> Tensor:
    """(o, c, 3, 3) to the 36 matrices as weights (36 o, c, 1, 1) of a grouped convolution; in float64 until the end."""
    kernel = torch.tensor(_KERNEL, dtype=torch.float64) / 24
    matrices = torch.einsum("ai,ocij,bj->aboc", kernel, weight.double(), kernel)
    return matrices.reshape(-1, weight.shape[1], 1, 1).to(weight.dtype)


def _transformed(parts: Sequence[Tensor], transform: Sequence[Sequence[int]], dim: int) -> Tensor:
    """For each row of `transform` the parts weighted by it and added up, stacked along `dim`."""
    return torch.stack([_weighted(parts, row) for row in transform], dim=dim)


def _weighted(parts: Sequence[Tensor], factors: Sequence[int]) -> Tensor:
    chosen = [(part, factor) for part, factor in zip(parts, factors, strict=True) if factor]
    part, factor = chosen[0]
    total = part * factor if factor != 1 else part
    for part, factor in chosen[1:]:
        total = total + (part * factor if factor != 1 else part)
    return total
