"""Matching: which ground truth each anchor answers for.

Source: reference `layers/box_utils.py` match (as of 2019-08: one distinct anchor forced per object).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from yolact import boxes as box_ops
from yolact.config.model import MatchingConfig

NEUTRAL, BACKGROUND = -1, 0


@dataclass(frozen=True)
class Matches:
    """The anchors of one image."""

    classes: Tensor
    """(P,) int64: -1 neutral, 0 background, label + 1 for a positive."""
    objects: Tensor
    """(P,) int64: index of the matched object in the boxes given; meaningful for positives only."""

    @property
    def positive(self) -> Tensor:
        """(P,) bool."""
        return self.classes > BACKGROUND


def match(boxes: Tensor, labels: Tensor, crowds: Tensor, anchors: Tensor, config: MatchingConfig) -> Matches:
    """Match anchors to objects by IoU, then give every object one anchor of its own.

    The forced pairs are found one at a time: the globally best remaining (object, anchor) pair is taken and both leave.

    Args:
        boxes: (n, 4) xyxy of the objects, as fractions of the input's side.
        labels: (n,) int64 in [0, C).
        crowds: (m, 4) xyxy of crowd regions.
        anchors: (P, 4) cxcywh.
        config: thresholds.
    """
    corners = box_ops.center_to_corner(anchors)
    if len(boxes):
        overlap = box_ops.iou(boxes, corners)  # (n, P)
        best, objects = overlap.max(dim=0)
        anchor, owner = _forced_pairs(overlap)
        best[anchor], objects[anchor] = 2.0, owner
        classes = labels[objects] + 1
        classes[best < config.positive_iou] = NEUTRAL
        classes[best < config.negative_iou] = BACKGROUND
    else:
        classes = torch.full((len(anchors),), BACKGROUND, dtype=torch.int64, device=anchors.device)
        objects = torch.zeros_like(classes)
    if len(crowds) and config.crowd_iou < 1:
        covered = (box_ops.intersection(corners, crowds) / box_ops.area(corners)[:, None]).amax(dim=1)
        classes[(classes <= BACKGROUND) & (covered > config.crowd_iou)] = NEUTRAL
    return Matches(classes, objects)


def _forced_pairs(overlap: Tensor) -> tuple[Tensor, Tensor]:
    """(anchors, objects) of the greedy one-to-one assignment on (n, P) overlaps."""
    remaining = overlap.clone()
    anchors, objects = [], []
    for _ in range(min(remaining.shape)):
        best_overlap, best_anchor = remaining.max(dim=1)
        owner = best_overlap.argmax()
        anchor = best_anchor[owner]
        remaining[:, anchor] = -1
        remaining[owner, :] = -1
        anchors.append(anchor)
        objects.append(owner)
    return torch.stack(anchors), torch.stack(objects)
