"""YOLACT's loss: boxes, classes with hard negatives, masks, semantic segmentation.

n images, P anchors, C classes. Source: paper section 4; reference `layers/modules/multibox_loss.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

from yolact.config.model import LossConfig, MatchingConfig
from yolact.models.masks.prototypes import downsample
from yolact.models.one_stage.mask_branch import MaskBranch, MaskTargets
from yolact.ops import boxes as box_ops
from yolact.ops.assignment import Matches, match_batch
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


def match_targets(targets: Sequence[Target], anchors: Tensor, image_size: int, config: MatchingConfig) -> list[Matches]:
    """`yolact.ops.assignment.match_batch` on targets; indices count the objects of an image without the crowds."""
    boxes = [target.boxes / image_size for target in targets]
    return match_batch(
        [own[~target.crowd] for own, target in zip(boxes, targets, strict=True)],
        [target.labels[~target.crowd] for target in targets],
        [own[target.crowd] for own, target in zip(boxes, targets, strict=True)],
        anchors,
        config,
    )


def match_target(target: Target, anchors: Tensor, image_size: int, config: MatchingConfig) -> Matches:
    """`match_targets` for one image."""
    return match_targets([target], anchors, image_size, config)[0]


@dataclass(frozen=True)
class Positives:
    """The q positive anchors of a batch and the g objects, without crowds, that they answer for; image by image."""

    image: Tensor
    """(q,) int64."""
    anchor: Tensor
    """(q,) int64 in [0, P)."""
    objects: Tensor
    """(q,) int64 in [0, g)."""
    counts: list[int]
    """Per image."""
    boxes: Tensor
    """(g, 4) xyxy fractions."""
    masks: Tensor
    """(g, S, S) uint8."""

    @classmethod
    def of(cls, targets: Sequence[Target], matches: Sequence[Matches], image_size: int) -> Positives:
        """Gather them; the host waits for the device, since their number is data."""
        real = [~target.crowd for target in targets]
        positive = torch.stack([matched.positive for matched in matches])
        image, anchor = positive.nonzero(as_tuple=True)
        boxes = [target.boxes[own] / image_size for target, own in zip(targets, real, strict=True)]
        first = torch.tensor([0, *accumulate(len(own) for own in boxes)], device=image.device)
        return cls(
            image,
            anchor,
            torch.stack([matched.objects for matched in matches])[image, anchor] + first[image],
            positive.sum(dim=1).tolist(),
            torch.cat(boxes),
            torch.cat([target.masks[own] for target, own in zip(targets, real, strict=True)]),
        )


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
    divisor = max(1, normalizer.positives)
    classes = torch.stack([matched.classes for matched in matches])
    positives = Positives.of(targets, matches, image_size)
    terms = {
        "box": box_loss(raw, positives) * config.box / divisor,
        "class": class_loss(raw.logits, classes, config.negatives_per_positive) * config.classification / divisor,
    }
    if branch.parameters_per_anchor:
        terms["mask"] = mask_loss(raw, positives, [target.seed for target in targets], branch) / divisor
    if raw.semantic is not None:
        terms["semantic"] = semantic_loss(raw.semantic, targets) * config.semantic / max(1, normalizer.images)
    return terms


def box_loss(raw: RawOutputs, positives: Positives) -> Tensor:
    """Smooth L1 (beta 1) over the positives' four offsets, summed; not finite where any offset is not."""
    wanted = box_ops.encode(positives.boxes[positives.objects], raw.anchors[positives.anchor])
    made = raw.offsets[positives.image, positives.anchor]
    return F.smooth_l1_loss(made, wanted, reduction="sum") + _fault(raw.offsets)


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
        wanted = (positive.sum(dim=1, keepdim=True) * negatives_per_positive).clamp(max=classes.shape[1] - 1)
        most = math.ceil(wanted.max().item())
        hardest = hardness.topk(most, dim=1).indices
        hard = torch.arange(most, device=logits.device) < wanted  # (n, most)
        chosen = positive | (background & torch.zeros_like(background).scatter_(1, hardest, hard))
    return F.cross_entropy(logits[chosen], classes[chosen], reduction="sum") + _fault(logits)


def mask_loss(raw: RawOutputs, positives: Positives, seeds: Sequence[int], branch: MaskBranch) -> Tensor:
    """The mask branch's loss summed over all positives of the batch; not finite where parameters or maps are not."""
    parameters = raw.mask_parameters[positives.image, positives.anchor]
    fault = _fault(raw.mask_parameters) + (0.0 if raw.maps is None else _fault(raw.maps))
    offsets = raw.offsets[positives.image, positives.anchor].detach()
    return fault + branch.loss(
        MaskTargets(
            parameters=parameters,
            maps=raw.maps,
            counts=positives.counts,
            objects=positives.objects,
            boxes=positives.boxes,
            decoded=box_ops.decode(offsets, raw.anchors[positives.anchor]),
            masks=positives.masks,
            seeds=seeds,
        )
    )


def _fault(values: Tensor) -> Tensor:
    """Zero, but not finite where the values aren't, which a loss of some of them might not show."""
    return values.detach().sum() * 0.0


def semantic_loss(logits: Tensor, targets: Sequence[Target]) -> Tensor:
    """Binary cross entropy of (n, C, h, w) logits against the union of each class's masks, per pixel, summed over images."""
    size = (logits.shape[-2], logits.shape[-1])
    real = [~target.crowd for target in targets]
    masks = torch.cat([target.masks[own] for target, own in zip(targets, real, strict=True)])
    planes = torch.cat(
        [target.labels[own] + image * logits.shape[1] for image, (target, own) in enumerate(zip(targets, real, strict=True))]
    )
    union = logits.new_zeros((logits.shape[0] * logits.shape[1], *size)).index_add_(0, planes, downsample(masks, size))
    wanted = union.clamp_(max=1).view_as(logits)
    return F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / (size[0] * size[1])
