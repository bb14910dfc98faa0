"""SOLO's masks: a 1x1 convolution per level with an output for every cell. Only the outputs of wanted cells are computed.

Source: Wang et al., "SOLO: Segmenting Objects by Locations" (ECCV 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from yolact.config.model.solo import SoloConfig
from yolact.models.box_free.solo.mask_source import MaskSource
from yolact.models.box_free.solo.towers import resize, size_of, tower, with_coordinates
from yolact.models.layers.initialise import normal, set_prior


class StaticMasks(MaskSource):
    """A tower that all levels share, whose maps are doubled, and a convolution per level."""

    outside_forward = ("outputs",)

    def __init__(self, config: SoloConfig) -> None:
        super().__init__()
        head = config.head
        self.coordinates, self.prior = head.coordinates, config.mask_prior
        self.tower = tower(config.channels + 2 * head.coordinates, head)
        self.outputs = nn.ModuleList(nn.Conv2d(head.width, side * side, 1) for side in config.matching.grids)

    def initialise(self) -> None:
        self.apply(normal)
        for output in self.outputs:
            set_prior(cast(nn.Conv2d, output), self.prior)

    def context(self, pyramid: Sequence[Tensor], levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Features of each level, (n, c, 2h, 2w)."""
        made = (self.tower(with_coordinates(level) if self.coordinates else level) for level in levels)
        return tuple(resize(each, size_of(each, 2)) for each in made)

    def masks(
        self, context: Sequence[Tensor], kernels: Tensor, level: int, cells: Tensor, size: tuple[int, int] | None = None
    ) -> Tensor:
        output, features = cast(nn.Conv2d, self.outputs[level]), context[level]
        assert output.bias is not None
        weight, bias = output.weight[cells].flatten(1), output.bias[cells]  # (q, c), (q,)
        soft = (weight @ features.flatten(1) + bias[:, None]).sigmoid().reshape(-1, *size_of(features))
        return soft if size is None else resize(soft[None], size)[0]
