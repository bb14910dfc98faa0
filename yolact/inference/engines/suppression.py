"""Decoding and NMS of one image as one graph, by the methods of `yolact.ops.nms` that have static shapes.

P locations, K class logits, d detections at most.
"""

from __future__ import annotations

from copy import copy
from typing import Any

from torch import Tensor, nn

from yolact.config.inference import InferenceConfig
from yolact.models.one_stage.dense_head import DenseHead
from yolact.ops.nms import STATIC


class SuppressionGraph(nn.Module):
    """Box regressions (P, 4), logits (P, K), locations (P, 4) and quality (P,), if the head predicts any, to the d best
    survivors, best first: boxes (d, 4) xyxy fractions, scores (d,), labels (d,) int64, indices (d,) int64 of their locations.
    If there are fewer, the rest have a score of -1.

    Args:
        head: decodes boxes and scores; its weights are left out.
        config: as `suppression_settings` returns it.
    """

    def __init__(self, head: DenseHead, config: InferenceConfig) -> None:
        super().__init__()
        self.head, self.config = _weightless(head), config
        self.essence = config.essence(), head.decoding()  # what the graph is, beside shapes and sources

    def forward(
        self, box: Tensor, logits: Tensor, locations: Tensor, quality: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        boxes, scores = self.head.decode(box, locations), self.head.scores(logits, quality)
        passed = scores.amax(dim=1) > self.config.score_threshold
        location, label, score = STATIC[self.config.suppression](boxes, scores, passed, self.config)
        return boxes[location], score, label, location


def suppression_settings(inference: InferenceConfig) -> InferenceConfig:
    """The defaults except for the fields that NMS reads, so that settings that differ elsewhere share a graph."""
    return InferenceConfig(
        suppression=inference.suppression,
        nms_iou=inference.nms_iou,
        score_threshold=inference.score_threshold,
        second_score_threshold=inference.second_score_threshold,
        pre_nms_top_k=inference.pre_nms_top_k,
        max_detections=inference.max_detections,
        cap_cross_class=inference.cap_cross_class,
    )


def _weightless(head: Any) -> Any:
    shell = copy(head)
    shell._parameters, shell._buffers, shell._modules = {}, {}, {}
    return shell.eval()
