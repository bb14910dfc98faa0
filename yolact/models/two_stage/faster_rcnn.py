"""torchvision's Faster R-CNN on our backbones; `yolact/models/two_stage/base.py` says how it differs from torchvision's own.

The pyramid stands on C3..C5 unless `finest_level` is 2: levels P3..P5, then one pooled level per further anchor size. Regions
are pooled from the levels to P5. n images, P proposals of an image, C classes without background.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.ops import MultiScaleRoIAlign, clip_boxes_to_image

from yolact.config.inference import InferenceConfig
from yolact.config.model.two_stage import RCNNConfig
from yolact.models.two_stage.base import Features, Truth, TwoStage
from yolact.models.two_stage.network import Anchors, Pyramid, build_rpn
from yolact.models.two_stage.suppression import Survivors, suppress_per_class
from yolact.runtime.profiling import section
from yolact.structures import Detections

BOX_POOL = 7


class Raw(NamedTuple):
    """Raw outputs for a batch."""

    levels: tuple[Tensor, ...]
    """(n, c, h, w) of the pyramid, finest first: P3, P4, ... or P2, P3, ..."""


class Sampled(NamedTuple):
    """Regions of one image that the second stage learns from. Each part is in a list of one, as torchvision expects it."""

    boxes: list[Tensor]
    """(r, 4) xyxy in input pixels."""
    objects: list[Tensor]
    """(r,) int64: the object of each; 0 where there is none."""
    labels: list[Tensor]
    """(r,) int64 in [0, C], 0 is background."""
    deltas: list[Tensor]
    """(r, 4): regression targets."""


class FasterRCNN(TwoStage):
    """Boxes and classes alone, and what its kind with masks builds on."""

    config: RCNNConfig

    classifier = "detector.roi_heads.box_predictor.cls_score"
    postprocess_sections: tuple[str, ...] = ("rpn", "box_head", "nms", "assembly")
    section_names: tuple[str, ...] = ("preprocess", "backbone", "fpn", *postprocess_sections)

    def __init__(self, config: RCNNConfig, num_classes: int, pretrained: bool = True) -> None:
        super().__init__(config, num_classes)
        # in the order of their draws
        pyramid = self.build_pyramid(pretrained)
        heads = self.build_heads()
        rpn = build_rpn(config.channels, Anchors([(size,) for size in config.anchor_sizes], 1 << config.finest_level))
        self.detector = GeneralizedRCNN(pyramid, rpn, heads, transform=nn.Identity())

    def build_pyramid(self, pretrained: bool) -> Pyramid:
        """A module with a `body` and an `fpn`."""
        return Pyramid(self.config, pretrained)

    def build_heads(self) -> RoIHeads:
        """The second stage with torchvision's settings."""
        config = self.config
        box_head = TwoMLPHead(config.channels * BOX_POOL**2, config.representation)
        return region_heads(config, region_pool(config, BOX_POOL), box_head, self.num_classes)

    def forward(self, images: Tensor, masks: bool = True) -> Raw:
        """The pyramid's levels; all that follows depends on the image and belongs to `criterion` or `postprocess`."""
        backbone = self.detector.backbone
        with section("backbone"):
            features = backbone.body((images - self.pixel_mean) / self.pixel_std)
        with section("fpn"):
            return Raw(tuple(backbone.fpn(dict(zip(backbone.names, features, strict=True))).values()))

    def rpn_features(self, raw: Raw) -> Features:
        return {f"P{number}": level for number, level in enumerate(raw.levels, start=self.config.finest_level)}

    def stage_losses(self, raw: Raw, proposals: list[Tensor], truth: Truth) -> dict[str, Tensor]:
        """Terms `class` and `box`."""
        return self.box_losses(self.rpn_features(raw), self.sampled(proposals, truth))

    def sampled(self, proposals: list[Tensor], truth: Truth) -> Sampled:
        """Regions drawn at random from the proposals and the objects' own boxes."""
        return Sampled(*self.detector.roi_heads.select_training_samples(proposals, [truth]))

    def box_losses(self, features: Features, sampled: Sampled) -> dict[str, Tensor]:
        """Terms `class` and `box`."""
        logits, offsets = self._box_outputs(features, sampled.boxes)
        classes, boxes = fastrcnn_loss(logits, offsets, sampled.labels, sampled.deltas)
        return {"class": classes, "box": boxes}

    def detect(
        self, raw: Raw, proposals: list[Tensor], sizes: Sequence[tuple[int, int]], inference: InferenceConfig
    ) -> list[Detections]:
        found = []
        for size, survivors in zip(sizes, self.survivors(self.rpn_features(raw), proposals, inference), strict=True):
            with section("assembly"):
                found.append(self.assembled(survivors, size, inference))
        return found

    def survivors(self, features: Features, proposals: list[Tensor], inference: InferenceConfig) -> list[Survivors]:
        """What the box head finds in each image after suppression."""
        with section("box_head"):
            logits, offsets = self._box_outputs(features, proposals)
        with section("nms"):
            boxes = self.detector.roi_heads.box_coder.decode(offsets, proposals)[:, 1:]  # (P, C, 4)
            boxes = clip_boxes_to_image(boxes, (self.image_size, self.image_size))
            scores = torch.softmax(logits, dim=-1)[:, 1:]
            counts = [len(each) for each in proposals]
            pairs = zip(boxes.split(counts), scores.split(counts), strict=True)
            return [suppress_per_class(*pair, inference) for pair in pairs]

    def _box_outputs(self, features: Features, regions: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits (r, C + 1), background first, and box deltas (r, 4 (C + 1)) of all images' regions."""
        heads = self.detector.roi_heads
        return heads.box_predictor(heads.box_head(heads.box_roi_pool(features, regions, self.image_sizes(len(regions)))))


def region_pool(config: RCNNConfig, size: int) -> MultiScaleRoIAlign:
    """Pools a region to `size` x `size` from the level of its own size."""
    return MultiScaleRoIAlign(list(config.backbone_levels), size, sampling_ratio=2)


def region_heads(config: RCNNConfig, pool: nn.Module, box_head: nn.Module, num_classes: int) -> RoIHeads:
    """torchvision's second stage of a pool and a box head, the predictor's weights drawn.

    Suppression is ours (`suppress_per_class`): torchvision's thresholds are not read.
    """
    return RoIHeads(
        pool,
        box_head,
        FastRCNNPredictor(config.representation, num_classes + 1),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=config.regions_per_image,
        positive_fraction=0.25,
        bbox_reg_weights=None,
        score_thresh=0.05,
        nms_thresh=0.5,
        detections_per_img=100,
    )
