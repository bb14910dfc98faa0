"""The prediction head, shared by all pyramid levels: boxes, class scores, and the mask branch's parameters.

Source: paper section 4; reference `yolact.py` PredictionModule.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolact.config.model import HeadConfig


class PredictionHead(nn.Module):
    """For every anchor: 4 box offsets, `num_classes` + 1 class logits (column 0 is background), and mask parameters."""

    def __init__(self, config: HeadConfig, channels: int, anchors: int, num_classes: int, mask_parameters: int) -> None:
        super().__init__()
        self.shared = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(config.shared_convs))
        self.box = nn.Conv2d(channels, anchors * 4, 3, padding=1)
        self.classification = nn.Conv2d(channels, anchors * (num_classes + 1), 3, padding=1)
        self.mask = nn.Conv2d(channels, anchors * mask_parameters, 3, padding=1) if mask_parameters else None
        self.columns = (4, num_classes + 1, mask_parameters)

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Levels (n, c, h, w) to offsets (n, P, 4), logits (n, P, C+1) and mask parameters (n, P, m).

        The P anchors run as in `yolact.anchors.make_anchors`: level by level, row by row, anchors of a cell side by side.
        """
        outputs = [self._level(level) for level in levels]
        offsets, logits, parameters = (torch.cat(column, dim=1) for column in zip(*outputs, strict=True))
        return offsets, logits, parameters

    def _level(self, level: Tensor) -> tuple[Tensor, ...]:
        for conv in self.shared:
            level = F.relu(conv(level))
        convs = (self.box, self.classification, self.mask)
        return tuple(
            self._rows(conv(level), columns) if conv is not None else level.new_zeros(level.shape[0], 0, 0)
            for conv, columns in zip(convs, self.columns, strict=True)
        )

    @staticmethod
    def _rows(maps: Tensor, columns: int) -> Tensor:
        return maps.permute(0, 2, 3, 1).reshape(maps.shape[0], -1, columns)
