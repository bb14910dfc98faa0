"""Mask parameters of the anchors that are kept, and of no others: a hundred of 19,248.

The head's convolution for mask parameters sees 3x3 features around an anchor's cell. Those of chosen anchors are gathered and
multiplied, and the rest of the convolution is never made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolact.models.one_stage.dense_head import Dense


class ParameterRows:
    """The head's convolution for mask parameters, anchor by anchor.

    Args:
        conv: from the head's last features to all parameters of a cell's anchors.
        columns: parameters per anchor.
        sizes: (h, w) of the levels.
        activate: what the branch makes of the convolution's outputs.
    """

    def __init__(
        self, conv: nn.Conv2d, columns: int, sizes: Sequence[tuple[int, int]], activate: Callable[[Tensor], Tensor]
    ) -> None:
        self.weight = conv.weight.detach().float().permute(2, 3, 1, 0).reshape(-1, conv.out_channels).contiguous()
        self.bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach().float()
        self.shape, self.activate = (conv.out_channels // columns, columns), activate
        self.around = _around(sizes)

    def __call__(self, features: Tensor, anchors: Tensor) -> Tensor:
        """Parameters (d, m) float32 of `anchors` (d,) from features (cells + 1, c), as `cells_of` lays them out."""
        around = features[self.around[anchors // self.shape[0]]].float().flatten(1)
        made = torch.addmm(self.bias, around, self.weight).reshape(len(anchors), *self.shape)
        return self.activate(made[torch.arange(len(anchors)), anchors % self.shape[0]])


@dataclass(frozen=True)
class ChosenRaw:
    """Raw outputs whose mask parameters are computed for chosen locations only."""

    dense: Dense
    """Without mask parameters: (n, P, 0)."""
    context: tuple[Tensor, ...]
    mask_features: Tensor
    """(n, cells + 1, c), as `cells_of` arranges them."""
    rows: ParameterRows

    def parameters_of(self, index: int, locations: Tensor) -> Tensor:
        """(d, m) float32 mask parameters of one image at `locations` (d,)."""
        return self.rows(self.mask_features[index], locations)


def cells_of(levels: Sequence[Tensor]) -> Tensor:
    """Features (n, c, h, w) of all levels as (n, cells + 1, c), row by row; the last cell is zero and stands for what lies
    outside."""
    cells = torch.cat([level.permute(0, 2, 3, 1).flatten(1, 2) for level in levels], dim=1)
    return F.pad(cells, (0, 0, 0, 1))


def _around(sizes: Sequence[tuple[int, int]]) -> Tensor:
    """(cells, 9) int64: the cells of each cell's 3x3 neighbourhood."""
    total = sum(height * width for height, width in sizes)
    found, first = [], 0
    for height, width in sizes:
        own = first + torch.arange(height * width, dtype=torch.float32).reshape(1, 1, height, width)
        bordered = F.pad(own, (1, 1, 1, 1), value=float(total))
        found.append(F.unfold(bordered, 3)[0].t().long())
        first += height * width
    return torch.cat(found)
