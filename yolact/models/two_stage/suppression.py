"""Non-maximum suppression where every class has boxes of its own.

P regions, C classes without background.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import batched_nms, remove_small_boxes

from yolact.config.inference import InferenceConfig
from yolact.ops.nms import fast_nms


class Survivors(NamedTuple):
    """What suppression leaves of one image, best score first."""

    boxes: Tensor
    """(n, 4) xyxy in input pixels."""
    scores: Tensor
    """(n,)"""
    labels: Tensor
    """(n,) int64 in [0, C)."""
    regions: Tensor
    """(n,) int64 in [0, P): where each comes from."""


def suppress_per_class(boxes: Tensor, scores: Tensor, inference: InferenceConfig) -> Survivors:
    """The best `max_detections` of one image.

    Args:
        boxes: (P, C, 4) xyxy in input pixels, inside the image.
        scores: (P, C) probabilities of the foreground classes.
        inference: `suppression` "standard" or "fast", and its thresholds.
    """
    return (_standard if inference.suppression == "standard" else _fast)(boxes, scores, inference)


def _standard(boxes: Tensor, scores: Tensor, inference: InferenceConfig) -> Survivors:
    """As torchvision's `RoIHeads.postprocess_detections`, to the bit: its labels count background as 0."""
    regions, labels = (scores > inference.score_threshold).nonzero(as_tuple=True)
    found = Survivors(boxes[regions, labels], scores[regions, labels], labels, regions)
    found = _chosen(found, remove_small_boxes(found.boxes, min_size=1e-2))
    kept = batched_nms(found.boxes, found.scores, found.labels + 1, inference.nms_iou)
    return _chosen(found, kept[: inference.max_detections])


def _fast(boxes: Tensor, scores: Tensor, inference: InferenceConfig) -> Survivors:
    """Fast NMS within each class."""
    passed = scores.amax(dim=1) > inference.score_threshold
    kept = [fast_nms(boxes[:, c], scores[:, c : c + 1], passed, inference).present() for c in range(scores.shape[1])]
    labels = torch.cat([each.labels + c for c, each in enumerate(kept)])
    regions = torch.cat([each.anchors for each in kept])
    found = Survivors(boxes[regions, labels], torch.cat([each.scores for each in kept]), labels, regions)
    return _chosen(found, found.scores.sort(descending=True, stable=True).indices[: inference.max_detections])


def _chosen(found: Survivors, at: Tensor) -> Survivors:
    return Survivors(*(part[at] for part in found))
