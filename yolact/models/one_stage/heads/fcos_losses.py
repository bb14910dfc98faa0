"""FCOS's losses: sigmoid focal loss of classes, GIoU of boxes weighted by centerness, binary cross entropy of centerness.

n images, P points, q positives, C classes. Source: Tian et al., "FCOS"; AdelaiDet `fcos_outputs.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from yolact.ops.matching import BACKGROUND, NEUTRAL


def focal_loss(logits: Tensor, classes: Tensor, alpha: float, gamma: float) -> Tensor:
    """Sigmoid focal loss over all classes of all points that are not neutral, summed.

    Args:
        logits: (n, P, C).
        classes: (n, P) int64: -1 neutral, 0 background, label + 1.
        alpha: weight of positive entries; negative ones have 1 - alpha.
        gamma: exponent of the probability missed.
    """
    counted = classes != NEUTRAL
    wanted = F.one_hot(classes.clamp(min=BACKGROUND), logits.shape[-1] + 1)[..., 1:].to(logits)
    return sigmoid_focal_loss(logits[counted], wanted[counted], alpha, gamma, reduction="sum")


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
