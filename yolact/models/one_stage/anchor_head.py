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

    def forward(self, levels: Sequence[Tensor], masks: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """Levels (n, c, h, w) to offsets (n, P, 4), logits (n, P, C+1), mask parameters (n, P, m), or (n, P, 0) without masks.

        The P anchors run as in `yolact.ops.locations.make_anchors`: level by level, row by row, anchors of a cell side by side.
        """
        outputs = [self._level(level, masks) for level in levels]
        offsets, logits, parameters = (torch.cat(column, dim=1) for column in zip(*outputs, strict=True))
        return offsets, logits, parameters

    def _level(self, level: Tensor, masks: bool) -> tuple[Tensor, ...]:
        for conv in self.shared:
            level = F.relu(conv(level))
        offsets, logits = self._rows(self.box(level), self.columns[0]), self._rows(self.classification(level), self.columns[1])
        if self.mask is None or not masks:
            return offsets, logits, offsets[..., :0]
        return offsets, logits, self._rows(self.mask(level), self.columns[2])

    @staticmethod
    def _rows(maps: Tensor, columns: int) -> Tensor:
        return maps.permute(0, 2, 3, 1).reshape(maps.shape[0], -1, columns)
