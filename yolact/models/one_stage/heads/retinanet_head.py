"""RetinaNet's head: anchors of three sizes and ratios, two towers shared by all levels, sigmoid classes, focal loss.

n images, P anchors, q positives. Source: Lin et al., "Focal Loss for Dense Object Detection" (ICCV 2017); torchvision
`models/detection/retinanet.py`; Fu et al., "RetinaMask" (2019).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from yolact.config.model import RetinaNetConfig
from yolact.models.base import Counts
from yolact.models.layers.initialise import normal, set_prior
from yolact.models.layers.tower import tower
from yolact.models.one_stage.dense_head import Assignment, Dense, DenseHead, objects_of, rows
from yolact.models.one_stage.heads.retinanet_losses import SelfAdjustingSmoothL1, smooth_l1
from yolact.models.one_stage.losses import focal_loss, nan_if_any_nonfinite
from yolact.ops import boxes as box_ops
from yolact.ops.anchors import Sizes, make_octave_anchors
from yolact.ops.matching import Matches, match_with_best
from yolact.structures import Target


class RetinaNetHead(DenseHead):
    """For every anchor: 4 box offsets, C class logits, and mask parameters."""

    config: RetinaNetConfig

    def __init__(self, config: RetinaNetConfig, num_classes: int, parameters_per_location: int, sizes: Sizes) -> None:
        super().__init__()
        channels, anchors, head = config.fpn.channels, config.anchors.per_cell, config.head
        self.config = config
        self.class_tower, self.box_tower = (
            tower(channels, head.convs, head.groups, bias=head.groups is None) for _ in range(2)
        )
        self.classification = nn.Conv2d(channels, anchors * num_classes, 3, padding=1)
        self.box = nn.Conv2d(channels, anchors * 4, 3, padding=1)
        self.mask = nn.Conv2d(channels, anchors * parameters_per_location, 3, padding=1) if parameters_per_location else None
        self.columns = (4, num_classes, parameters_per_location)
        loss = config.loss
        self.adjusting = (
            SelfAdjustingSmoothL1(loss.beta, loss.adjustment, loss.adjust_before_use)
            if loss.distance == "self_adjusting"
            else None
        )
        self.register_locations(sizes, lambda: make_octave_anchors(config.anchors, config.image_size, sizes))

    def initialise(self) -> None:
        self.apply(normal)
        set_prior(self.classification)

    def forward(self, levels: Sequence[Tensor], masks: bool = True) -> Dense:
        outputs = [self._level(level, masks) for level in levels]
        box, logits, parameters = (torch.cat(column, dim=1) for column in zip(*outputs, strict=True))
        return Dense(box, logits, parameters, None)

    def _level(self, level: Tensor, masks: bool) -> tuple[Tensor, ...]:
        for_boxes = self.box_tower(level)
        box, logits = rows(self.box(for_boxes), 4), rows(self.classification(self.class_tower(level)), self.columns[1])
        if self.mask is None or not masks:
            return box, logits, box[..., :0]
        return box, logits, rows(self.mask(for_boxes), self.columns[2])

    def decoding(self) -> tuple[float, float]:
        return self.config.variances

    def decode(self, box: Tensor, locations: Tensor) -> Tensor:
        """Boxes clipped to the image."""
        return box_ops.decode(box, locations, self.config.variances, box_ops.MOST_GROWTH).clamp(0, 1)

    def scores(self, logits: Tensor, quality: Tensor | None) -> Tensor:
        return torch.sigmoid(logits)

    def assign(self, targets: Sequence[Target]) -> list[Matches]:
        """Anchors are compared with objects in pixels, where those of whole pixels tie exactly."""
        corners = box_convert(self.locations, "cxcywh", "xyxy") * self.config.image_size
        corners = corners.round() if self.config.anchors.whole_pixels else corners
        return [match_with_best(*each, corners, self.config.matching) for each in zip(*objects_of(targets, 1), strict=True)]

    def loss(self, dense: Dense, assignment: Assignment, counts: Counts) -> dict[str, Tensor]:
        """Terms `box` and `class`."""
        config, images = self.config.loss, max(1, counts["images"])
        share = dense.box.new_tensor([1 / max(1, count) for count in assignment.per_image])  # (n,)
        for_classes = for_boxes = max(1, counts["positives"])
        if config.divisor == "image":
            for_classes = for_boxes = images
        else:
            share = torch.ones_like(share)
        if config.divisor == "retinamask":
            for_classes, for_boxes = counts["positives"] + counts["images"], 4 * for_boxes
        pairs = zip(dense.logits, assignment.classes, strict=True)
        classes = torch.stack([focal_loss(*pair, config.alpha, config.gamma) for pair in pairs])
        boxes = self._distances(dense.box, assignment).sum(dim=1) * share[assignment.image]
        return {
            "box": (boxes.sum() + nan_if_any_nonfinite(dense.box)) * config.box / for_boxes,
            "class": ((classes * share).sum() + nan_if_any_nonfinite(dense.logits)) * config.classification / for_classes,
        }

    def _distances(self, box: Tensor, assignment: Assignment) -> Tensor:
        """(q, 4) losses of the positives' offsets."""
        anchors = self.locations[assignment.location]
        wanted = box_ops.encode(assignment.boxes[assignment.objects], anchors, self.config.variances)
        distance = (box[assignment.image, assignment.location] - wanted).abs()
        if self.adjusting is not None:
            return self.adjusting(distance)
        return distance if self.config.loss.distance == "l1" else smooth_l1(distance, self.config.loss.beta)

    def observed(self) -> list[float]:
        return [] if self.adjusting is None else self.adjusting.observed()

    def update(self, sums: Sequence[float]) -> None:
        if self.adjusting is not None and not self.adjusting.before_use:
            self.adjusting.update(sums)
