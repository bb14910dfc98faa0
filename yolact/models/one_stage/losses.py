"""Losses of dense heads: of boxes; of classes, with hard negatives (YOLACT) or focal (RetinaNet, FCOS).

n images, P anchors, C classes. Source: paper section 4; reference `layers/modules/multibox_loss.py`. Lin et al., "Focal Loss".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from yolact.models.one_stage.dense_head import Assignment
from yolact.ops import boxes as box_ops
from yolact.ops.matching import BACKGROUND, NEUTRAL


def box_loss(offsets: Tensor, anchors: Tensor, assignment: Assignment) -> Tensor:
    """Smooth L1 (beta 1) over the positives' four offsets, summed; not finite if any offset is not.

    Args:
        offsets: (n, P, 4) predicted.
        anchors: (P, 4) cxcywh.
        assignment: which anchors are positive, and their objects.
    """
    wanted = box_ops.encode(assignment.boxes[assignment.objects], anchors[assignment.location])
    made = offsets[assignment.image, assignment.location]
    return F.smooth_l1_loss(made, wanted, reduction="sum") + nan_if_any_nonfinite(offsets)


def class_loss(logits: Tensor, classes: Tensor, per_image: Sequence[int], negatives_per_positive: float) -> Tensor:
    """Softmax cross entropy over the positives and, per image, the hardest negatives (OHEM), summed.

    Args:
        logits: (n, P, C+1).
        classes: (n, P) int64: -1 neutral, 0 background, label + 1.
        per_image: positives in each image.
        negatives_per_positive: background anchors kept per positive of the same image.
    """
    background = classes == 0
    with torch.no_grad():
        hardness = torch.logsumexp(logits, dim=-1) - logits[..., 0]
        hardness = torch.where(background, hardness, torch.zeros_like(hardness))
        wanted = [min(count * negatives_per_positive, classes.shape[1] - 1) for count in per_image]
        most = math.ceil(max(wanted))
        hardest = hardness.topk(most, dim=1).indices
        hard = torch.arange(most, device=logits.device) < torch.tensor(wanted, device=logits.device)[:, None]  # (n, most)
        chosen = (classes > 0) | (background & torch.zeros_like(background).scatter_(1, hardest, hard))
    return F.cross_entropy(logits[chosen], classes[chosen], reduction="sum") + nan_if_any_nonfinite(logits)


def focal_loss(logits: Tensor, classes: Tensor, alpha: float, gamma: float) -> Tensor:
    """Sigmoid focal loss over all classes of all locations that are not neutral, summed.

    Args:
        logits: (..., P, C).
        classes: (..., P) int64: -1 neutral, 0 background, label + 1.
        alpha: weight of positive entries; negative ones have 1 - alpha.
        gamma: exponent of the probability missed.
    """
    counted = classes != NEUTRAL
    wanted = F.one_hot(classes.clamp(min=BACKGROUND), logits.shape[-1] + 1)[..., 1:].to(logits)
    return sigmoid_focal_loss(logits[counted], wanted[counted], alpha, gamma, reduction="sum")


def nan_if_any_nonfinite(values: Tensor) -> Tensor:
    """0.0, or NaN if any value is not finite, so that a bad unselected output still invalidates the loss."""
    return values.detach().sum() * 0.0
