"""PANet's bottom-up path: a pyramid's levels aggregated once more, from the finest to the coarsest.

Source: PANet paper section 3.1; ShuLiu1993/PANet `lib/modeling/FPN.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torchvision.ops.misc import Conv2dNormActivation


class PathAggregation(nn.Module):
    """N_first = P_first, then N_next = fuse(down(N) + P_next), where `down` halves the side. The sum has no ReLU.

    A level has half as many cells on a side as the finer one, rounded up, so that no map is resized.

    Args:
        channels: of every level.
        levels: how many there are.
        norm: of a number of channels, after each convolution. Official quirk: without it there is no ReLU either.
    """

    def __init__(self, channels: int, levels: int, norm: Callable[[int], nn.Module] | None) -> None:
        super().__init__()
        relu = None if norm is None else nn.ReLU

        def convs(stride: int) -> nn.ModuleList:
            return nn.ModuleList(
                Conv2dNormActivation(
                    channels, channels, 3, stride, norm_layer=norm, activation_layer=relu, inplace=None, bias=True
                )
                for _ in range(levels - 1)
            )

        self.down, self.fuse = convs(stride=2), convs(stride=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.kaiming_uniform_(module.weight, a=1)
                nn.init.zeros_(module.bias)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Maps (n, c, h, w), finest first, to as many of the same shapes."""
        found = [levels[0]]
        for level, down, fuse in zip(levels[1:], self.down, self.fuse, strict=True):
            found.append(fuse(down(found[-1]) + level))
        return found
