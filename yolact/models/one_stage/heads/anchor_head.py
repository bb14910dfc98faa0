"""YOLACT's head: anchors, a prediction head shared by all levels, softmax classes with hard negatives.

Source: paper section 4; reference `yolact.py` PredictionModule.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolact.config.model import YolactConfig
from yolact.models.base import Counts
from yolact.models.one_stage.dense_head import Assignment, Dense, DenseHead, objects_of, rows
from yolact.models.one_stage.losses import box_loss, class_loss
from yolact.ops import boxes as box_ops
from yolact.ops.anchors import Sizes, make_anchors
from yolact.ops.matching import Matches, match_batch
from yolact.structures import Target


class AnchorHead(DenseHead):
    """For every anchor: 4 box offsets, C + 1 class logits (column 0 is background), and mask parameters."""

    config: YolactConfig

    def __init__(self, config: YolactConfig, num_classes: int, parameters_per_location: int, sizes: Sizes) -> None:
        super().__init__()
        channels, anchors = config.fpn.channels, config.anchors.per_cell
        self.config = config
        self.shared = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(config.head.shared_convs))
        self.box = nn.Conv2d(channels, anchors * 4, 3, padding=1)
        self.classification = nn.Conv2d(channels, anchors * (num_classes + 1), 3, padding=1)
        self.mask = nn.Conv2d(channels, anchors * parameters_per_location, 3, padding=1) if parameters_per_location else None
        self.columns = (4, num_classes + 1, parameters_per_location)
        self.register_locations(sizes, lambda: make_anchors(config.anchors, config.image_size, sizes))

    def forward(self, levels: Sequence[Tensor], masks: bool = True) -> Dense:
        outputs = [self._level(level, masks) for level in levels]
        box, logits, parameters = (torch.cat(column, dim=1) for column in zip(*outputs, strict=True))
        return Dense(box, logits, parameters, None)

    def _level(self, level: Tensor, masks: bool) -> tuple[Tensor, ...]:
        for conv in self.shared:
            level = F.relu(conv(level))
        box, logits = rows(self.box(level), self.columns[0]), rows(self.classification(level), self.columns[1])
        if self.mask is None or not masks:
            return box, logits, box[..., :0]
        return box, logits, rows(self.mask(level), self.columns[2])

    def decoding(self) -> tuple[()]:
        return ()

    def decode(self, box: Tensor, locations: Tensor) -> Tensor:
        return box_ops.decode(box, locations)

    def scores(self, logits: Tensor, quality: Tensor | None) -> Tensor:
        return torch.softmax(logits, dim=-1)[..., 1:]

    def assign(self, targets: Sequence[Target]) -> list[Matches]:
        return match_batch(*objects_of(targets, self.config.image_size), self.locations, self.config.matching)

    def loss(self, dense: Dense, assignment: Assignment, counts: Counts) -> dict[str, Tensor]:
        """Terms `box` and `class`; see `yolact.models.one_stage.losses`."""
        config, divisor = self.config.loss, max(1, counts["positives"])
        negatives = config.negatives_per_positive
        return {
            "box": box_loss(dense.box, self.locations, assignment) * config.box / divisor,
            "class": class_loss(dense.logits, assignment.classes, assignment.per_image, negatives)
            * config.classification
            / divisor,
        }
