"""The interface of a neck."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from yolact.models.layers.initialise import xavier
from yolact.ops.anchors import Sizes


class Neck(nn.Module):
    """A backbone's C3, C4, C5 in; the levels that a head reads out."""

    channels: int
    """Channels of the finest level."""

    def initialise(self) -> None:
        """Draw the weights."""
        self.apply(xavier)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Levels (n, c, h, w), finest first, from maps (n, c, h, w), finest first."""
        raise NotImplementedError

    def level_sizes(self, sizes: Sizes) -> Sizes:
        """Those of the levels, from those of the backbone's maps."""
        raise NotImplementedError
