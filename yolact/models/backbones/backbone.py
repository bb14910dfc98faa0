"""The interface of a backbone."""

from __future__ import annotations

from torch import Tensor, nn


class Backbone(nn.Module):
    """(n, 3, h, w) normalised pixels to [C3, C4, C5]; `channels` are theirs."""

    channels: tuple[int, int, int]

    def forward(self, images: Tensor) -> list[Tensor]:
        raise NotImplementedError
