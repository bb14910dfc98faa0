"""Matching: which ground truth each anchor answers for, in all images of a batch at once.

Source: reference `layers/box_utils.py` match (as of 2019-08: one distinct anchor forced per object).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torchvision.ops import box_area, box_convert, box_iou

from yolact.config.model.retinanet import BestMatchConfig
from yolact.config.model.yolact import MatchingConfig
from yolact.ops.boxes import intersection

NEUTRAL, BACKGROUND = -1, 0
_TAKEN = -1.0
"""Stands in for the overlap of a pair that can't be chosen any more."""


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
    """`match_batch` for one image: (n, 4) boxes, (n,) labels, (m, 4) crowds."""
    return match_batch([boxes], [labels], [crowds], anchors, config)[0]


def match_batch(
    boxes: Sequence[Tensor], labels: Sequence[Tensor], crowds: Sequence[Tensor], anchors: Tensor, config: MatchingConfig
) -> list[Matches]:
    """Match anchors to objects by IoU, then give every object one anchor of its own.

    The forced pairs are found one at a time: the globally best remaining (object, anchor) pair of an image is taken and both
    leave. No step asks the device for a value.

    Args:
        boxes: per image (n, 4) xyxy of the objects, as fractions of the input's side.
        labels: per image (n,) int64 in [0, C).
        crowds: per image (m, 4) xyxy of crowd regions.
        anchors: (P, 4) cxcywh.
        config: thresholds.
    """
    corners = box_convert(anchors, "cxcywh", "xyxy")
    if any(len(each) for each in boxes):
        classes, objects = _by_overlap(boxes, labels, corners, config)
    else:
        classes = torch.full((len(boxes), len(anchors)), BACKGROUND, dtype=torch.int64, device=anchors.device)
        objects = torch.zeros_like(classes)
    for own, regions in zip(classes, crowds, strict=True):
        _ignore_crowds(own, regions, corners, config)
    return [Matches(*each) for each in zip(classes, objects, strict=True)]


def match_with_best(boxes: Tensor, labels: Tensor, crowds: Tensor, corners: Tensor, config: BestMatchConfig) -> Matches:
    """Match the anchors of one image to objects by IoU; every object's best anchors are positive too, if configured.

    Args:
        boxes: (n, 4) xyxy of the objects.
        labels: (n,) int64 in [0, C).
        crowds: (m, 4) xyxy of crowd regions.
        corners: (P, 4) xyxy of the anchors, in the unit of the boxes.
        config: thresholds. Source: torchvision `models/detection/_utils.py` Matcher; RetinaMask `modeling/matcher.py`.
    """
    overlap = box_iou(boxes, corners)  # (n, P)
    most = overlap.amax(dim=1, keepdim=True)
    counts = (most > 0) & (most >= (math.inf if config.best_match_iou is None else config.best_match_iou))
    return _by_threshold(overlap, ((overlap == most) & counts).any(dim=0), labels, crowds, corners, config)


def match_best_box(boxes: Tensor, labels: Tensor, crowds: Tensor, corners: Tensor, config: MatchingConfig) -> Matches:
    """Match the anchors of one image to objects by IoU, and every object's best anchor to that object.

    Of several objects with one best anchor, the last has it. Arguments are those of `match_with_best`. Source: torchvision
    `models/detection/_utils.py` SSDMatcher.
    """
    overlap = box_iou(boxes, corners)  # (n, P)
    most, anchors = overlap.max(dim=1)
    place = torch.arange(len(boxes), device=boxes.device)
    owner = torch.full((len(corners),), -1, device=boxes.device)
    owner = owner.scatter_reduce(0, anchors, torch.where(most > 0, place, -1), "amax")
    forced = owner >= 0
    overlap = torch.where(forced, 2.0 * (owner == place[:, None]), overlap)
    return _by_threshold(overlap, forced, labels, crowds, corners, config)


def _by_threshold(
    overlap: Tensor, forced: Tensor, labels: Tensor, crowds: Tensor, corners: Tensor, config: MatchingConfig
) -> Matches:
    """Each anchor and the object that it overlaps most, of overlaps (n, P); (P,) `forced` ones are positive in any case."""
    if not len(labels):
        classes = torch.full_like(forced, BACKGROUND, dtype=torch.int64)
        objects = torch.zeros_like(classes)
    else:
        best, objects = overlap.max(dim=0)
        missed = torch.where(best < config.negative_iou, BACKGROUND, NEUTRAL)
        classes = torch.where(forced | (best >= config.positive_iou), labels[objects] + 1, missed)
    _ignore_crowds(classes, crowds, corners, config)
    return Matches(classes, objects)


def _ignore_crowds(classes: Tensor, crowds: Tensor, corners: Tensor, config: MatchingConfig) -> None:
    """Make the anchors (P, 4) of one image that lie in crowds (m, 4), and are not positive, neutral in `classes` (P,)."""
    if config.crowd_iou < 1 and len(crowds):
        covered = (intersection(corners, crowds) / box_area(corners)[:, None]).amax(dim=1)
        classes[(classes <= BACKGROUND) & (covered > config.crowd_iou)] = NEUTRAL


def _by_overlap(
    boxes: Sequence[Tensor], labels: Sequence[Tensor], corners: Tensor, config: MatchingConfig
) -> tuple[Tensor, Tensor]:
    """Classes and objects, (images, P) each."""
    counts = [len(each) for each in boxes]
    overlap = box_iou(pad_sequence(list(boxes), batch_first=True), corners)  # (images, n, P)
    for own, count in zip(overlap, counts, strict=True):
        own[count:] = _TAKEN
    best, objects = overlap.max(dim=1)
    _force_pairs(overlap, counts, best, objects)
    classes = pad_sequence(list(labels), batch_first=True).gather(1, objects) + 1
    classes[best < config.positive_iou] = NEUTRAL
    classes[best < config.negative_iou] = BACKGROUND
    return classes, objects


def _force_pairs(overlap: Tensor, counts: Sequence[int], best: Tensor, objects: Tensor) -> None:
    """Write the greedy one-to-one assignment on (images, n, P) overlaps, which it uses up, into `best` and `objects`."""
    images = torch.arange(len(overlap), device=overlap.device)
    pairs = [min(count, overlap.shape[2]) for count in counts]
    for number in range(max(pairs)):
        served = [image for image, count in enumerate(pairs) if number < count]
        here = images if len(served) == len(images) else torch.tensor(served, device=overlap.device)
        best_overlap, best_anchor = overlap.max(dim=2)
        owner = best_overlap.argmax(dim=1)[here]
        anchor = best_anchor[here, owner]
        overlap[here, :, anchor] = _TAKEN
        overlap[here, owner] = _TAKEN
        best[here, anchor], objects[here, anchor] = 2.0, owner
