"""torchvision's Mask R-CNN on our backbones.

`yolact/models/two_stage/base.py` and `faster_rcnn.py` say how it differs from torchvision's own. r regions, c channels,
C classes without background, d detections of an image.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, maskrcnn_inference, maskrcnn_loss

from yolact.config.inference import InferenceConfig
from yolact.config.model.two_stage import RCNNConfig
from yolact.models.two_stage.base import Features, Truth
from yolact.models.two_stage.faster_rcnn import FasterRCNN, Raw, Sampled, region_pool
from yolact.models.two_stage.suppression import Survivors
from yolact.runtime.profiling import section
from yolact.structures import Detections

MASK_POOL = 14


class MaskRCNN(FasterRCNN):
    """Faster R-CNN with a mask head."""

    config: RCNNConfig

    postprocess_sections: tuple[str, ...] = ("rpn", "box_head", "nms", "mask_head", "assembly")
    section_names: tuple[str, ...] = ("preprocess", "backbone", "fpn", *postprocess_sections)

    def build_heads(self) -> RoIHeads:
        config, heads = self.config, super().build_heads()
        heads.mask_roi_pool = region_pool(config, MASK_POOL)
        heads.mask_head = MaskRCNNHeads(config.channels, (config.channels,) * 4, dilation=1)
        heads.mask_predictor = MaskRCNNPredictor(config.channels, config.channels, self.num_classes + 1)
        return heads

    def stage_losses(self, raw: Raw, proposals: list[Tensor], truth: Truth) -> dict[str, Tensor]:
        """Terms `class`, `box` and those of the masks."""
        features, sampled = self.rpn_features(raw), self.sampled(proposals, truth)
        boxes = self.box_losses(features, sampled)
        positives = _positives(sampled)
        return boxes | self.mask_losses(*self._mask_outputs(features, positives.boxes), positives, truth)

    def mask_losses(self, pooled: Tensor, logits: Tensor, positives: Sampled, truth: Truth) -> dict[str, Tensor]:
        """Term `mask`.

        Args:
            pooled: (r, c, 14, 14) features of the positives.
            logits: (r, C + 1, 28, 28), background first.
            positives: regions that hold an object.
            truth: the objects.
        """
        return {"mask": maskrcnn_loss(logits, positives.boxes, [truth["masks"]], [truth["labels"]], positives.objects)}

    def mask_scores(self, pooled: Tensor, masks: Sequence[Tensor], survivors: Sequence[Survivors]) -> Sequence[Tensor | None]:
        """The scores of each image's masks (d,), if they have scores of their own.

        Args:
            pooled: (sum of d, c, 14, 14) features of all images' survivors.
            masks: (d, 1, 28, 28) probabilities of each image.
            survivors: of each image.
        """
        return [None] * len(survivors)

    def detect(
        self, raw: Raw, proposals: list[Tensor], sizes: Sequence[tuple[int, int]], inference: InferenceConfig
    ) -> list[Detections]:
        features = self.rpn_features(raw)
        survivors = self.survivors(features, proposals, inference)
        masks: Sequence[Tensor | None] = [None] * len(sizes)
        scores = masks
        if inference.masks:
            with section("mask_head"):
                pooled, logits = self._mask_outputs(features, [each.boxes for each in survivors])
                masks = made = maskrcnn_inference(logits, [each.labels + 1 for each in survivors])
            scores = self.mask_scores(pooled, made, survivors)
        found = []
        for size, each, mask, score in zip(sizes, survivors, masks, scores, strict=True):
            with section("assembly"):
                found.append(self.assembled(each, size, inference, mask, score))
        return found

    def _mask_outputs(self, features: Features, boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Pooled features (r, c, 14, 14) and logits (r, C + 1, 28, 28), background first, of all images' boxes."""
        heads = self.detector.roi_heads
        pooled = heads.mask_roi_pool(features, boxes, self.image_sizes(len(boxes)))
        return pooled, heads.mask_predictor(heads.mask_head(pooled))


def _positives(sampled: Sampled) -> Sampled:
    """The regions that hold an object."""
    at = torch.where(sampled.labels[0] > 0)[0]
    return Sampled(*([part[0][at]] for part in sampled))
