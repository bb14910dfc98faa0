"""SOLOv2's masks: a kernel per cell, applied to mask features that all levels share.

This is YOLACT without boxes: the features are prototypes, a kernel holds coefficients, and nothing is cropped.
E numbers of a kernel. Source: Wang et al., "SOLOv2: Dynamic and Fast Instance Segmentation" (NeurIPS 2020).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from yolact.config.model.solo import MaskFeaturesConfig, Solov2Config
from yolact.models.box_free.solo.mask_source import MaskSource
from yolact.models.box_free.solo.towers import cells as rows_of
from yolact.models.box_free.solo.towers import conv, resize, size_of, tower, with_coordinates
from yolact.models.layers.initialise import normal
from yolact.models.masks.prototypes import LinearMasks
from yolact.ops.mask_assembly import assemble


class DynamicMasks(LinearMasks, MaskSource):
    """The mask features, and the tower that predicts the kernels."""

    coefficient_bound = math.inf

    def __init__(self, config: Solov2Config) -> None:
        super().__init__()
        self.coordinates = config.head.coordinates
        self.features = MaskFeatures(config.channels, config.mask_features)
        self.tower = tower(config.channels + 2 * self.coordinates, config.head)
        self.map_count = config.mask_features.features
        self.output = nn.Conv2d(config.head.width, self.map_count, 3, padding=1)

    def initialise(self) -> None:
        self.apply(normal)

    def context(self, pyramid: Sequence[Tensor], levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The mask features, (n, E, h, w) at the size of P2."""
        return (self.features(pyramid[:4]),)

    def kernels(self, levels: Sequence[Tensor], grids: Sequence[int]) -> Tensor:
        """Coordinates are those of the level, resized with it."""
        seen = (with_coordinates(level) if self.coordinates else level for level in levels)
        resized = (resize(each, (side, side)) for each, side in zip(seen, grids, strict=True))
        return torch.cat([rows_of(self.output(self.tower(each))) for each in resized], dim=1)

    def masks(
        self, context: Sequence[Tensor], kernels: Tensor, level: int, cells: Tensor, size: tuple[int, int] | None = None
    ) -> Tensor:
        soft = assemble(context[0], kernels)
        return soft if size is None else resize(soft[None], size)[0]


class MaskFeatures(nn.Module):
    """P2 to P5 to features (n, E, h, w), not negative, at the size of P2."""

    def __init__(self, channels: int, config: MaskFeaturesConfig) -> None:
        super().__init__()
        self.coordinates = config.coordinates
        width, groups = config.channels, config.groups
        self.branches = nn.ModuleList(
            nn.ModuleList(
                conv(width if index else channels + 2 * (self.coordinates and level == 3), width, groups)
                for index in range(max(1, level))
            )
            for level in range(4)
        )
        self.output = conv(width, config.features, groups, kernel=1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        sizes = [size_of(level) for level in levels]
        total: Tensor | None = None
        for number, (level, convs) in enumerate(zip(levels, self.branches, strict=True)):
            made = with_coordinates(level) if self.coordinates and number == 3 else level
            for index, each in enumerate(cast(nn.ModuleList, convs), start=1):
                made = resize(each(made), sizes[max(0, number - index)])
            total = made if total is None else total + made
        return self.output(total)
