"""Non-maximum suppression: from boxes and class scores to the detections that stay. One function per definition.

P anchors, C classes. Scores are softmax probabilities of the foreground classes. Every function looks only at anchors whose
best foreground probability is above `score_threshold`. Shapes are static (but for the greedy ones), so that the same code
compiles: filtered entries carry the score -1 until the last line.

Source: paper section 3.5 (Fast NMS); reference `layers/functions/detection.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from yolact.config.inference import InferenceConfig
from yolact.ops import boxes as box_ops

_ABSENT = -1.0


@dataclass(frozen=True)
class Kept:
    """Survivors of one image, best score first."""

    anchors: Tensor
    """(n,) int64 indices into the P anchors."""
    labels: Tensor
    """(n,) int64 in [0, C)."""
    scores: Tensor
    """(n,) float32."""


def suppress(boxes: Tensor, scores: Tensor, config: InferenceConfig, image_size: int = 1) -> Kept:
    """Apply the suppression that `config.suppression` names.

    Args:
        boxes: (P, 4) float32 xyxy, decoded, as fractions of the input's side.
        scores: (P, C) float32 foreground probabilities.
        config: thresholds and caps.
        image_size: side of the input in pixels; only `traditional` depends on it.
    """
    passed = scores.amax(dim=1) > config.score_threshold
    if config.suppression == "fast":
        return fast_nms(boxes, scores, passed, config)
    if config.suppression == "cross_class":
        return cross_class_nms(boxes, scores, passed, config)
    if config.suppression == "standard":
        return standard_nms(boxes, scores, config)
    return traditional_nms(boxes, scores, config, image_size)


def fast_nms(boxes: Tensor, scores: Tensor, passed: Tensor, config: InferenceConfig) -> Kept:
    """Fast NMS: per class, a box goes when *any* better box, removed or not, overlaps it by more than `nms_iou`.

    Of each class the best `pre_nms_top_k` boxes enter. Scores below the threshold stay in for anchors that passed by another
    class, unless `second_score_threshold`.
    """
    per_class = torch.where(passed, scores.t(), _ABSENT)  # (C, P)
    top, anchor = _top(per_class, config.pre_nms_top_k)  # (C, m)
    overlap = box_ops.iou(boxes[anchor], boxes[anchor]).triu_(diagonal=1)  # (C, m, m)
    stays = (overlap.amax(dim=1) <= config.nms_iou) & (top > _ABSENT)
    if config.second_score_threshold:
        stays &= top > config.score_threshold
    label = torch.arange(len(per_class), device=boxes.device)[:, None].expand_as(anchor)
    return _best(anchor.reshape(-1), label.reshape(-1), torch.where(stays, top, _ABSENT).reshape(-1), config.max_detections)


def cross_class_nms(boxes: Tensor, scores: Tensor, passed: Tensor, config: InferenceConfig) -> Kept:
    """Fast NMS over all classes at once: each anchor stands for its best class, the best `pre_nms_top_k` anchors enter."""
    best, label = scores.max(dim=1)
    top, anchor = _top(torch.where(passed, best, _ABSENT), config.pre_nms_top_k)
    overlap = box_ops.iou(boxes[anchor], boxes[anchor]).triu_(diagonal=1)
    stays = overlap.amax(dim=0) <= config.nms_iou
    cap = config.max_detections if config.cap_cross_class else len(top)
    return _best(anchor, label[anchor], torch.where(stays, top, _ABSENT), cap)


def standard_nms(boxes: Tensor, scores: Tensor, config: InferenceConfig) -> Kept:
    """Greedy NMS per class (torchvision's): a box goes when a better box *that stays* overlaps it by more than `nms_iou`."""
    return _greedy(boxes, scores, config, config.nms_iou)


def traditional_nms(boxes: Tensor, scores: Tensor, config: InferenceConfig, image_size: int) -> Kept:
    """The official code's greedy NMS: sides counted in pixels plus one, and an overlap of exactly `nms_iou` removes."""
    pixels = boxes * image_size
    plus_one = torch.cat([pixels[:, :2], pixels[:, 2:] + 1], dim=1)
    just_below = torch.nextafter(torch.tensor(config.nms_iou), torch.tensor(0.0)).item()
    return _greedy(plus_one, scores, config, just_below)


def _greedy(boxes: Tensor, scores: Tensor, config: InferenceConfig, threshold: float) -> Kept:
    label, anchor = torch.nonzero(scores.t() > config.score_threshold, as_tuple=True)
    score = scores[anchor, label]
    # batched_nms moves each class to a place of its own: exact in float64, apart where no coordinate is negative
    apart = boxes.double() - boxes.amin()
    stays = batched_nms(apart[anchor], score.double(), label, threshold)[: config.max_detections]
    return Kept(anchor[stays], label[stays], score[stays])


def _best(anchor: Tensor, label: Tensor, score: Tensor, cap: int) -> Kept:
    top, index = _top(score, cap)
    index = index[: int((top > _ABSENT).sum())]
    return Kept(anchor[index], label[index], score[index])


def _top(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest float32 scores along the last dimension and their indices; of equal ones the first come first.

    Confident scores are often equal, and `topk` leaves their order open. A score's bits, ordered as the score is, followed by
    the index, make keys that differ; sorting everything instead takes ten times as long.
    """
    length = scores.shape[-1]
    bits = scores.contiguous().view(torch.int32).long() << 32
    from_the_end = torch.arange(length, 0, -1, device=scores.device)
    index = (bits | from_the_end).topk(min(count, length), dim=-1).indices
    return scores.gather(-1, index), index
