"""YOLACT's loss: boxes, classes with hard negatives, masks, semantic segmentation.

n images, P anchors, C classes. Source: paper section 4; reference `layers/modules/multibox_loss.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from yolact import boxes as box_ops
from yolact.branches.base import MaskBranch, MaskTargets
from yolact.branches.prototypes import downsample
from yolact.config.model import LossConfig, MatchingConfig
from yolact.matching import Matches, match
from yolact.structures import RawOutputs, Target


@dataclass(frozen=True)
class Normalizer:
    """What the terms are divided by. Sum those of all micro-batches and ranks, so that splitting a batch changes nothing."""

    positives: int
    """Positive anchors: divides the box, class and mask terms."""
    images: int
    """Images: divides the semantic term."""

    def __add__(self, other: Normalizer) -> Normalizer:
        return Normalizer(self.positives + other.positives, self.images + other.images)


def match_target(target: Target, anchors: Tensor, image_size: int, config: MatchingConfig) -> Matches:
    """`yolact.matching.match` on a target; indices count its objects without the crowds."""
    real = ~target.crowd
    boxes = target.boxes / image_size
    return match(boxes[real], target.labels[real], boxes[target.crowd], anchors, config)


def losses(
    raw: RawOutputs,
    targets: Sequence[Target],
    matches: Sequence[Matches],
    normalizer: Normalizer,
    branch: MaskBranch,
    config: LossConfig,
    image_size: int,
) -> dict[str, Tensor]:
    """The weighted terms `box`, `class` and, where the network has them, `mask` and `semantic`; their sum is the loss.

    Every term is a float32 scalar and finite also when no anchor of the batch is positive.
    """
    positives = max(1, normalizer.positives)
    terms = {
        "box": box_loss(raw, targets, matches, image_size) * config.box / positives,
        "class": class_loss(raw.logits, torch.stack([m.classes for m in matches]), config.negatives_per_positive)
        * config.classification
        / positives,
    }
    if branch.parameters_per_anchor:
        terms["mask"] = mask_loss(raw, targets, matches, branch, image_size) / positives
    if raw.semantic is not None:
        terms["semantic"] = semantic_loss(raw.semantic, targets) * config.semantic / max(1, normalizer.images)
    return terms


def box_loss(raw: RawOutputs, targets: Sequence[Target], matches: Sequence[Matches], image_size: int) -> Tensor:
    """Smooth L1 (beta 1) over the positives' four offsets, summed."""
    total = raw.offsets.sum() * 0.0
    for offsets, target, matched in zip(raw.offsets, targets, matches, strict=True):
        positive = matched.positive
        boxes = (target.boxes[~target.crowd] / image_size)[matched.objects[positive]]
        wanted = box_ops.encode(boxes, raw.anchors[positive])
        total = total + F.smooth_l1_loss(offsets[positive], wanted, reduction="sum")
    return total


def class_loss(logits: Tensor, classes: Tensor, negatives_per_positive: float) -> Tensor:
    """Softmax cross entropy over the positives and, per image, the hardest negatives (OHEM), summed.

    Args:
        logits: (n, P, C+1).
        classes: (n, P) int64: -1 neutral, 0 background, label + 1.
        negatives_per_positive: background anchors kept per positive of the same image.
    """
    positive = classes > 0
    background = classes == 0
    with torch.no_grad():
        hardness = torch.logsumexp(logits, dim=-1) - logits[..., 0]
        hardness = torch.where(background, hardness, torch.zeros_like(hardness))
        rank = hardness.argsort(dim=1, descending=True).argsort(dim=1)
        wanted = (positive.sum(dim=1, keepdim=True) * negatives_per_positive).clamp(max=classes.shape[1] - 1)
        chosen = positive | (background & (rank < wanted))
    return F.cross_entropy(logits[chosen], classes[chosen], reduction="sum") + logits.sum() * 0.0


def mask_loss(
    raw: RawOutputs, targets: Sequence[Target], matches: Sequence[Matches], branch: MaskBranch, image_size: int
) -> Tensor:
    """The mask branch's loss summed over all positives of the batch; not finite where parameters or maps are not."""
    # zero: without positives the gradients are zero, not none, and what isn't finite shows although branches leave it out
    total = raw.mask_parameters.sum() * 0.0
    if raw.maps is not None:
        total = total + raw.maps.sum() * 0.0
    for index, (target, matched) in enumerate(zip(targets, matches, strict=True)):
        positive = matched.positive
        real = ~target.crowd
        if not positive.any():
            continue
        total = total + branch.loss(
            MaskTargets(
                parameters=raw.mask_parameters[index, positive],
                maps=None if raw.maps is None else raw.maps[index],
                objects=matched.objects[positive],
                boxes=target.boxes[real] / image_size,
                decoded=box_ops.decode(raw.offsets[index, positive].detach(), raw.anchors[positive]),
                masks=target.masks[real],
                seed=target.seed,
            )
        )
    return total


def semantic_loss(logits: Tensor, targets: Sequence[Target]) -> Tensor:
    """Binary cross entropy of (n, C, h, w) logits against the union of each class's masks, per pixel, summed over images."""
    size = (logits.shape[-2], logits.shape[-1])
    wanted = torch.zeros_like(logits)
    for union, target in zip(wanted, targets, strict=True):
        real = ~target.crowd
        union.index_add_(0, target.labels[real], downsample(target.masks[real], size))
    wanted.clamp_(max=1)
    return F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / (size[0] * size[1])
