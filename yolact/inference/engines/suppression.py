"""Decoding and suppression of one image with shapes that never depend on the data: `yolact.ops.nms` says what each method is.

P anchors, C classes, d detections at most.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolact.config.inference import InferenceConfig
from yolact.inference.engines.passes.stored import stored
from yolact.ops import boxes as box_ops

STATIC = ("fast", "cross_class")
"""The methods that have static shapes; the greedy ones don't."""
_ABSENT = -1.0
_GROUPS = 16
_INDEX = 0xFFFFFFFF


class SuppressionGraph(nn.Module):
    """Offsets (P, 4), logits (P, C+1), anchors (P, 4) to the d best survivors, best first: boxes (d, 4) xyxy fractions, scores
    (d,), labels (d,) int64, indices (d,) int64 of their anchors. Where there are fewer, the rest have a score of -1."""

    def __init__(self, config: InferenceConfig) -> None:
        super().__init__()
        self.config = config
        self.essence = config.essence()  # what the graph is, beside weights and shapes

    def forward(self, offsets: Tensor, logits: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        boxes = box_ops.decode(offsets, anchors)
        scores = torch.softmax(logits, dim=-1)[:, 1:]
        suppress = fast_nms if self.config.suppression == "fast" else cross_class_nms
        anchor, label, score = suppress(boxes, scores, self.config)
        return boxes[anchor], score, label, anchor


def fast_nms(boxes: Tensor, scores: Tensor, config: InferenceConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Anchors, labels and scores (d,) of the survivors of `yolact.ops.nms.fast_nms`, absent ones last."""
    passed = scores.amax(dim=1) > config.score_threshold
    top, anchor = best(torch.where(passed, scores.t(), _ABSENT), config.pre_nms_top_k)  # (C, q)
    stays = (_worst_overlap(boxes[anchor]) <= config.nms_iou) & (top > _ABSENT)
    if config.second_score_threshold:
        stays = stays & (top > config.score_threshold)
    score, index = best(torch.where(stays, top, _ABSENT).reshape(1, -1), config.max_detections)
    return anchor.reshape(-1)[index[0]], index[0] // top.shape[1], score[0]


def cross_class_nms(boxes: Tensor, scores: Tensor, config: InferenceConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Anchors, labels and scores (d,) of the survivors of `yolact.ops.nms.cross_class_nms`, absent ones last."""
    highest, label = scores.max(dim=1)
    top, anchor = best(torch.where(highest > config.score_threshold, highest, _ABSENT)[None], config.pre_nms_top_k)
    stays = _worst_overlap(boxes[anchor]) <= config.nms_iou
    cap = config.max_detections if config.cap_cross_class else top.shape[1]
    score, index = best(torch.where(stays, top, _ABSENT), cap)
    chosen = anchor[0, index[0]]
    return chosen, label[chosen], score[0]


def best(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Values and indices (r, q) of the `count` largest of each row of (r, p) float32 scores; of equal ones the first come
    first.

    A score's bits, ordered as the score is, followed by the index, make keys that differ. The largest of a row lie in the
    groups whose own largest are largest, so that most of a long row is looked at once.
    """
    length = scores.shape[1]
    count = min(count, length)
    from_the_end = torch.arange(length, 0, -1, device=scores.device)
    keys = (scores.contiguous().view(torch.int32).to(torch.int64) << 32) | from_the_end
    if length > 2 * _GROUPS * count:
        missing = -length % _GROUPS
        groups = F.pad(keys, (0, missing), value=torch.iinfo(torch.int64).min).reshape(len(keys), _GROUPS, -1)
        leading = groups.amax(dim=1).topk(count, dim=1).indices
        keys = groups.gather(2, leading[:, None].expand(-1, _GROUPS, -1)).reshape(len(keys), -1)
    chosen = keys.topk(count, dim=1).values
    return (chosen >> 32).to(torch.int32).view(torch.float32), length - (chosen & _INDEX)


def _worst_overlap(boxes: Tensor) -> Tensor:
    """The largest IoU (r, q) of each of (r, q, 4) boxes with one before it in its row; 0 for the first."""
    # coordinate by coordinate, as vectors are read; not stored, each box would be decoded anew for every pair it is in
    corners = stored(boxes.permute(2, 0, 1).contiguous()).permute(1, 2, 0)
    place = torch.arange(boxes.shape[1], device=boxes.device)
    return torch.where(place[:, None] < place, box_ops.iou(corners, corners), 0.0).amax(dim=1)
