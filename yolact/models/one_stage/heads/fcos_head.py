"""FCOS's head: points instead of anchors, two towers shared by all levels, sigmoid classes, centerness; its losses.

Source: Tian et al., "FCOS" (ICCV 2019, TPAMI 2021); AdelaiDet `adet/modeling/fcos/`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolact.config.model import FCOSConfig
from yolact.models.base import Counts
from yolact.models.layers.initialise import normal, set_prior
from yolact.models.layers.tower import tower
from yolact.models.one_stage.dense_head import Assignment, Dense, DenseHead, rows
from yolact.models.one_stage.losses import focal_loss, nan_if_any_nonfinite
from yolact.ops import points as point_ops
from yolact.ops.anchors import Sizes, make_points
from yolact.ops.masks import centres_of_mass
from yolact.ops.matching import Matches
from yolact.structures import Target


class PointHead(DenseHead):
    """For every point: 4 distances in strides (ltrb), C class logits, a centerness logit, and mask parameters."""

    config: FCOSConfig

    def __init__(self, config: FCOSConfig, num_classes: int, parameters_per_location: int, sizes: Sizes) -> None:
        super().__init__()
        self.config = config
        channels = config.fpn.channels
        self.shared_tower = tower(channels, config.head.shared_convs, config.head.groups)
        self.class_tower, self.box_tower = (tower(channels, config.head.convs, config.head.groups) for _ in range(2))
        self.classification = nn.Conv2d(channels, num_classes, 3, padding=1)
        self.box = nn.Conv2d(channels, 4, 3, padding=1)
        self.centerness = nn.Conv2d(channels, 1, 3, padding=1)
        self.mask = nn.Conv2d(channels, parameters_per_location, 3, padding=1) if parameters_per_location else None
        self.scales = nn.Parameter(torch.ones(len(sizes))) if config.head.scale_per_level else None
        self.register_locations(sizes, lambda: make_points(config.image_size, sizes))

    def initialise(self) -> None:
        self.apply(normal)
        set_prior(self.classification)

    def forward(self, levels: Sequence[Tensor], masks: bool = True) -> Dense:
        outputs = [self._level(level, index, masks) for index, level in enumerate(levels)]
        box, logits, parameters, quality = (torch.cat(column, dim=1) for column in zip(*outputs, strict=True))
        return Dense(box, logits, parameters, quality[..., 0])

    def _level(self, level: Tensor, index: int, masks: bool) -> tuple[Tensor, ...]:
        level = self.shared_tower(level)
        for_classes, for_boxes = self.class_tower(level), self.box_tower(level)
        box = self.box(for_boxes)
        box = rows(F.relu(box if self.scales is None else box * self.scales[index]), 4)
        logits = rows(self.classification(for_classes), self.classification.out_channels)
        quality = rows(self.centerness(for_boxes if self.config.head.quality_on == "box" else for_classes), 1)
        if self.mask is None or not masks:
            return box, logits, box[..., :0], quality
        return box, logits, rows(self.mask(for_boxes), self.mask.out_channels), quality

    def decoding(self) -> float:
        return self.config.head.class_threshold

    def decode(self, box: Tensor, locations: Tensor) -> Tensor:
        return point_ops.decode(box, locations)

    def scores(self, logits: Tensor, quality: Tensor | None) -> Tensor:
        """The geometric mean of class probability and centerness; 0 for class probabilities not above `class_threshold`."""
        assert quality is not None
        classes = torch.sigmoid(logits)
        scores = torch.sqrt(classes * torch.sigmoid(quality)[..., None])
        threshold = self.config.head.class_threshold
        return torch.where(classes > threshold, scores, 0) if threshold else scores

    def assign(self, targets: Sequence[Target]) -> list[Matches]:
        matching, size = self.config.matching, self.config.image_size
        points = point_ops.points_of(self.locations, size, matching.sizes_of_interest)
        return [self._assign(target, points) for target in targets]

    def _assign(self, target: Target, points: point_ops.Points) -> Matches:
        matching, real = self.config.matching, ~target.crowd
        boxes = target.boxes[real]
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        if matching.centre == "mask":
            mass = centres_of_mass(target.masks[real])
            centres = torch.where(mass.isnan(), centres, mass)
        crowds = target.boxes[target.crowd if matching.ignore_crowds else torch.zeros_like(target.crowd)]
        return point_ops.match_points(boxes, target.labels[real], crowds, centres, points, matching.radius)

    def counts(self, assignment: Assignment) -> Counts:
        """`centerness`: the sum of the positives' target centerness."""
        return {"centerness": float(self.weights(assignment).sum())}

    def weights(self, assignment: Assignment) -> Tensor:
        """The positives' target centerness."""
        return point_ops.centerness(self._wanted(assignment))

    def weights_sum(self, counts: Counts) -> float:
        return max(1e-6, counts["centerness"])

    def loss(self, dense: Dense, assignment: Assignment, counts: Counts) -> dict[str, Tensor]:
        """Terms `box`, `class` and `centerness`."""
        config, positives = self.config.loss, max(1, counts["positives"])
        at = assignment.image, assignment.location
        assert dense.quality is not None
        wanted = self._wanted(assignment)
        centerness = point_ops.centerness(wanted)
        box = giou_loss(dense.box[at], wanted, config.iou_offset)
        weighted = config.box_weighting == "centerness"
        box_sum, divisor = ((box * centerness).sum(), self.weights_sum(counts)) if weighted else (box.sum(), positives)
        quality = F.binary_cross_entropy_with_logits(dense.quality[at], centerness, reduction="sum")
        classes = focal_loss(dense.logits, assignment.classes, config.alpha, config.gamma)
        return {
            "box": (box_sum + nan_if_any_nonfinite(dense.box)) * config.box / divisor,
            "class": (classes + nan_if_any_nonfinite(dense.logits)) * config.classification / positives,
            "centerness": (quality + nan_if_any_nonfinite(dense.quality)) * config.centerness / positives,
        }

    def _wanted(self, assignment: Assignment) -> Tensor:
        """(q, 4) ltrb in strides of the positives' objects."""
        return point_ops.encode(assignment.boxes[assignment.objects], self.locations[assignment.location]).clamp(min=0)


def giou_loss(made: Tensor, wanted: Tensor, offset: float) -> Tensor:
    """(q,) 1 - GIoU of boxes that contain their point, given as distances (q, 4) ltrb.

    Args:
        made: predicted, not negative.
        wanted: positive.
        offset: added to intersection and union in the IoU, but not in the term of the enclosing box.
    """
    shared = _area(torch.minimum(made, wanted))
    union = _area(made) + _area(wanted) - shared
    around = _area(torch.maximum(made, wanted))
    return 1 - (shared + offset) / (union + offset) + (around - union) / around


def _area(ltrb: Tensor) -> Tensor:
    return (ltrb[:, 0] + ltrb[:, 2]) * (ltrb[:, 1] + ltrb[:, 3])
