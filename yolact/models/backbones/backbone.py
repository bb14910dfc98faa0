"""The interface of a backbone."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from yolact.ops.anchors import Sizes, level_sizes


class Backbone(nn.Module):
    """(n, 3, h, w) normalised pixels to [C3, C4, C5] at strides 8, 16, 32; with `include_c2`, C2 at stride 4 comes first."""

    channels: tuple[int, ...]
    """Of the maps that `forward` returns."""
    c2_channels: int | None = None
    """Of C2; None for a backbone that does not give it."""
    gives_c2 = False

    def include_c2(self) -> None:
        """Have `forward` return C2 as well; `c2_channels` must be set."""
        assert self.c2_channels is not None
        self.channels, self.gives_c2 = (self.c2_channels, *self.channels), True

    def forward(self, images: Tensor) -> list[Tensor]:
        raise NotImplementedError

    def chosen(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Of [C2, C3, C4, C5], those that `forward` returns."""
        return list(features if self.gives_c2 else features[1:])

    def level_sizes(self, side: int) -> Sizes:
        """(rows, columns) of the maps for images of `side` x `side` pixels; here every halving rounds up."""
        quarter = (side + 3) // 4
        return [(quarter, quarter)] * self.gives_c2 + level_sizes(side, 3)

    @property
    def last_stage(self) -> nn.Module | None:
        """The module that makes C5 of C4, if `yolact.models.layers.dilation.dilate` can make its stride one of 1; else None."""
        return None
