"""Mask Scoring R-CNN: Mask R-CNN with a head that predicts the IoU of each mask with its object.

Masks are ranked by class score times predicted IoU. Boxes, their scores and their suppression are Mask R-CNN's.
Source: arXiv 1903.00241; zjhuang22/maskscoring_rcnn.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import project_masks_on_boxes

from yolact.config.model import MSRCNNConfig
from yolact.models.layers.mask_iou_head import MaskIoUHead, mask_iou_loss, mask_iou_targets, of_class
from yolact.models.two_stage.base import Truth
from yolact.models.two_stage.faster_rcnn import Sampled
from yolact.models.two_stage.mask_rcnn import MASK_POOL, MaskRCNN
from yolact.models.two_stage.suppression import Survivors
from yolact.ops.regions import area_share
from yolact.runtime.profiling import section


class MaskScoringRCNN(MaskRCNN):
    """Its weights are drawn after those of Mask R-CNN, which are the same for the same seed."""

    config: MSRCNNConfig

    postprocess_sections = ("rpn", "box_head", "nms", "mask_head", "iou_head", "assembly")
    section_names = ("preprocess", "backbone", "fpn", *postprocess_sections)

    def __init__(self, config: MSRCNNConfig, num_classes: int, pretrained: bool = True) -> None:
        super().__init__(config, num_classes, pretrained)
        width, units = config.channels, config.representation
        self.detector.roi_heads.iou_head = MaskIoUHead(width, num_classes + 1, width, units=units, side=MASK_POOL)
        self.detector.roi_heads.iou_head.initialise()

    def mask_losses(self, pooled: Tensor, logits: Tensor, positives: Sampled, truth: Truth) -> dict[str, Tensor]:
        """Terms `mask` and `mask_iou`. The latter trains the mask head and the features too."""
        (boxes,), (objects,), (labels,) = positives.boxes, positives.objects, positives.labels
        own = of_class(logits, labels)
        wanted = project_masks_on_boxes(truth["masks"], boxes, objects, own.shape[-1])
        target = mask_iou_targets(own, wanted, area_share(truth["masks"], objects, boxes))
        term = mask_iou_loss(self._ious(pooled, own.sigmoid(), labels), target)
        return super().mask_losses(pooled, logits, positives, truth) | {"mask_iou": self.config.mask_iou * term}

    def mask_scores(self, pooled: Tensor, masks: Sequence[Tensor], survivors: Sequence[Survivors]) -> Sequence[Tensor]:
        with section("iou_head"):
            labels = torch.cat([each.labels + 1 for each in survivors])
            ious = self._ious(pooled, torch.cat(list(masks))[:, 0], labels).split([len(each.labels) for each in survivors])
            return [each.scores * iou for each, iou in zip(survivors, ious, strict=True)]

    def _ious(self, pooled: Tensor, masks: Tensor, labels: Tensor) -> Tensor:
        """(r,) predicted IoUs of masks (r, 28, 28), probabilities of the classes `labels` (r,) in [1, C]."""
        return of_class(self.detector.roi_heads.iou_head(pooled, masks), labels)
