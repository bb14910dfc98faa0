"""SSD's head: default boxes, a convolution per level for offsets and one for softmax classes, hard negatives.

Source: Liu et al., "SSD" (ECCV 2016); torchvision `models/detection/ssd.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from yolact.config.model import SSDConfig
from yolact.models.base import Counts
from yolact.models.one_stage.dense_head import Assignment, Dense, DenseHead, objects_of, rows
from yolact.models.one_stage.losses import box_loss, class_loss
from yolact.ops import boxes as box_ops
from yolact.ops.anchors import Sizes, make_default_boxes
from yolact.ops.matching import Matches, match_best_box
from yolact.structures import Target


class SSDHead(DenseHead):
    """For every default box: 4 offsets and C + 1 class logits (column 0 is background)."""

    config: SSDConfig
    classifier = "classification.0"

    def __init__(self, config: SSDConfig, num_classes: int, parameters_per_location: int, sizes: Sizes) -> None:
        super().__init__()
        self.config, self.columns = config, (4, num_classes + 1)
        pairs = list(zip(config.neck.widths, config.anchors.per_cell, strict=True))
        self.box = nn.ModuleList(nn.Conv2d(width, boxes * 4, 3, padding=1) for width, boxes in pairs)
        self.classification = nn.ModuleList(nn.Conv2d(width, boxes * self.columns[1], 3, padding=1) for width, boxes in pairs)
        self.register_locations(sizes, lambda: make_default_boxes(config.anchors, config.image_size, sizes))

    @property
    def level_counts(self) -> list[int]:
        return [rows * columns * n for (rows, columns), n in zip(self.level_sizes, self.config.anchors.per_cell, strict=True)]

    def forward(self, levels: Sequence[Tensor], masks: bool = True) -> Dense:
        pairs = ((self.box, self.columns[0]), (self.classification, self.columns[1]))
        box, logits = (
            torch.cat([rows(conv(level), columns) for conv, level in zip(convs, levels, strict=True)], dim=1)
            for convs, columns in pairs
        )
        return Dense(box, logits, box[..., :0], None)

    def decoding(self) -> tuple[()]:
        return ()

    def decode(self, box: Tensor, locations: Tensor) -> Tensor:
        """Boxes clipped to the image."""
        return box_ops.decode(box, locations, most_growth=box_ops.MOST_GROWTH).clamp(0, 1)

    def scores(self, logits: Tensor, quality: Tensor | None) -> Tensor:
        return torch.softmax(logits, dim=-1)[..., 1:]

    def assign(self, targets: Sequence[Target]) -> list[Matches]:
        corners = box_convert(self.locations, "cxcywh", "xyxy")
        objects = zip(*objects_of(targets, self.config.image_size), strict=True)
        return [match_best_box(*each, corners, self.config.matching) for each in objects]

    def loss(self, dense: Dense, assignment: Assignment, counts: Counts) -> dict[str, Tensor]:
        """Terms `box` and `class`; see `yolact.models.one_stage.losses`."""
        config, divisor = self.config.loss, max(1, counts["positives"])
        classes = class_loss(dense.logits, assignment.classes, assignment.per_image, config.negatives_per_positive)
        return {
            "box": box_loss(dense.box, self.locations, assignment) * config.box / divisor,
            "class": classes * config.classification / divisor,
        }
