"""Decoupled SOLO's masks: the product of a map for the cell's column and a map for its row, 2 n maps instead of n².

Source: Wang et al., "SOLO: Segmenting Objects by Locations" (ECCV 2020), section 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from yolact.config.model.solo import DecoupledSoloConfig
from yolact.models.box_free.solo.mask_source import MaskSource
from yolact.models.box_free.solo.towers import resize, size_of, tower, with_coordinates
from yolact.models.layers.initialise import normal, set_prior


class DecoupledMasks(MaskSource):
    """A tower for columns, which sees x, and one for rows, which sees y; or one for both."""

    def __init__(self, config: DecoupledSoloConfig) -> None:
        super().__init__()
        head = config.head
        self.grids = config.matching.grids
        self.axes = ("xy",) if config.towers == 1 else ("x", "y")
        self.coordinates, self.prior = head.coordinates, config.mask_prior
        self.towers = nn.ModuleList(tower(config.channels + head.coordinates * len(axes), head) for axes in self.axes)
        self.columns, self.rows = (
            nn.ModuleList(nn.Conv2d(head.width, side, 3, padding=1) for side in self.grids) for _ in range(2)
        )

    def initialise(self) -> None:
        self.apply(normal)
        for output in (*self.columns, *self.rows):
            set_prior(output, self.prior)

    def context(self, pyramid: Sequence[Tensor], levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Logits (n, side, 2h, 2w) of each level's columns, then of each level's rows."""
        columns, rows = [], []
        for number, level in enumerate(levels):
            seen = [with_coordinates(level, axes) if self.coordinates else level for axes in self.axes]
            made = [tower(each) for tower, each in zip(self.towers, seen, strict=True)]
            made = [resize(each, size_of(each, 2)) for each in made]
            columns.append(self.columns[number](made[0]))
            rows.append(self.rows[number](made[-1]))
        return (*columns, *rows)

    def masks(
        self, context: Sequence[Tensor], kernels: Tensor, level: int, cells: Tensor, size: tuple[int, int] | None = None
    ) -> Tensor:
        side = self.grids[level]
        column, row = context[level].sigmoid(), context[len(self.grids) + level].sigmoid()
        if size is not None:
            column, row = (resize(each[None], size)[0] for each in (column, row))
        return column[cells % side] * row[torch.div(cells, side, rounding_mode="floor")]
