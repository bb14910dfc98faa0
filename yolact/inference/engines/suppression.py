"""Decoding and NMS of one image as one graph, by the methods of `yolact.ops.nms` that have static shapes.

P anchors, C classes, d detections at most.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from yolact.config.inference import InferenceConfig
from yolact.ops.boxes import decode
from yolact.ops.nms import cross_class_nms, fast_nms


class SuppressionGraph(nn.Module):
    """Offsets (P, 4), logits (P, C+1), anchors (P, 4) to the d best survivors, best first: boxes (d, 4) xyxy fractions, scores
    (d,), labels (d,) int64, indices (d,) int64 of their anchors. If there are fewer, the rest have a score of -1."""

    def __init__(self, config: InferenceConfig) -> None:
        super().__init__()
        self.config = config
        self.essence = config.essence()  # what the graph is, beside weights and shapes

    def forward(self, offsets: Tensor, logits: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        boxes = decode(offsets, anchors)
        scores = torch.softmax(logits, dim=-1)[:, 1:]
        passed = scores.amax(dim=1) > self.config.score_threshold
        nms = fast_nms if self.config.suppression == "fast" else cross_class_nms
        anchor, label, score = nms(boxes, scores, passed, self.config)
        return boxes[anchor], score, label, anchor
