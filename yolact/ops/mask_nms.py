"""Suppression of duplicates among masks, and the scores that come before it.

q masks of (h, w), best score first, C classes.
Source: Wang et al., "SOLOv2" (NeurIPS 2020), section 3.3; the authors' `matrix_nms.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from yolact.config.inference import MatrixNMSConfig


def overlaps(masks: Tensor, labels: Tensor) -> Tensor:
    """(q, q) IoU of each mask, by row, with those after it, by column; 0 on and below the diagonal and between classes.

    Args:
        masks: (q, h, w) bool.
        labels: (q,).
    """
    flat = masks.flatten(1).float()
    shared = flat @ flat.t()  # whole numbers, exact below 2^24 pixels
    area = flat.sum(dim=1)
    iou = shared / (area[:, None] + area - shared).clamp(min=1)
    return torch.where(labels[:, None] == labels, iou, 0).triu(diagonal=1)


def matrix_decay(iou: Tensor, config: MatrixNMSConfig) -> Tensor:
    """(q,) in [0, 1]: what Matrix NMS multiplies each score by.

    The decay of j is the least f(IoU of i and j) / f(c_i) over all i, where c_i is the largest IoU of i with a mask before it:
    who is itself suppressed suppresses less. A row whose divisor is 0 is left out.

    Args:
        iou: (q, q), as `overlaps` returns it.
        config: the kernel f.
    """
    if not len(iou):
        return iou.new_zeros(0)
    most = iou.amax(dim=0)[:, None]  # c_i, by row
    if config.kernel == "gaussian":
        ratio = torch.exp(-config.sigma * (iou.square() - most.square()))
    else:
        ratio = torch.where(most < 1, (1 - iou) / (1 - most), torch.inf)
    return ratio.amin(dim=0)


def greedy(iou: Tensor, threshold: float) -> Tensor:
    """(q,) bool: a mask goes where a better one *that stays* overlaps it by more than `threshold`."""
    too_close = (iou > threshold).cpu()
    stays = torch.ones(len(iou), dtype=torch.bool)
    for row, others in enumerate(too_close):
        if stays[row]:
            stays &= ~others
    return stays.to(iou.device)


def peaks(scores: Tensor, method: str) -> Tensor:
    """Scores (C, h, w) of a grid's cells, 0 where a neighbour of the same class has more.

    Args:
        method: "corner" compares with the left, the upper and the upper-left neighbour, as the official code does; "peak" with
            all eight; "none" with no one.
    """
    if method == "none":
        return scores
    if method == "peak":
        highest = F.max_pool2d(scores, 3, stride=1, padding=1)
    else:
        highest = F.max_pool2d(scores, 2, stride=1, padding=1)[:, :-1, :-1]
    return torch.where(scores >= highest, scores, 0)


def maskness(soft: Tensor, masks: Tensor) -> Tensor:
    """(q,) mean probability inside the masks, from probabilities and masks (q, h, w); 0 for an empty mask."""
    return (soft * masks).sum(dim=(1, 2)) / masks.sum(dim=(1, 2)).clamp(min=1)
