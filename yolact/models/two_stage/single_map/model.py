"""What FCIS and MNC share: one map of stride 16, region proposals, a loss per image, and masks by vote.

n images, S the input's side, A anchors, R regions of an image. What differs from the authors' codes in both:

* Images are squashed to S x S; theirs keep their shape, with a short side of 600.
* C5 keeps stride 16 by dilation. That is FCIS's own map; MNC's was VGG-16's conv5_3.
* An anchor's objectness is one logit, where theirs has a softmax of two.
* Crowds are left out of the targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torchvision.ops import clip_boxes_to_image

from yolact.config.base import ConfigError
from yolact.config.inference import InferenceConfig
from yolact.config.model.single_map import SingleMapConfig
from yolact.models.backbones import build_backbone
from yolact.models.layers.dilation import dilate
from yolact.models.two_stage.per_image import PerImage, Truth, image_outputs
from yolact.models.two_stage.single_map.proposals import ProposalNetwork
from yolact.ops.masks import paste, tight_boxes
from yolact.ops.nms import Kept, suppress
from yolact.ops.single_map.voting import Regions, vote
from yolact.runtime.profiling import section
from yolact.structures import Detections


class SingleMap(PerImage):
    """A kind of detector sets `rpn`, and writes `forward`, `stage_losses` and `regions`.

    Its `Raw` is a NamedTuple of tensors whose first dimension is n, the first two those of `ProposalNetwork.predict`.
    """

    config: SingleMapConfig
    rpn: ProposalNetwork

    postprocess_sections = ("rpn", "regions", "nms", "assembly")
    section_names = ("preprocess", "backbone", "head", *postprocess_sections)

    def __init__(self, config: SingleMapConfig, num_classes: int, pretrained: bool = True) -> None:
        super().__init__(config, num_classes)
        self.backbone = build_backbone(config.backbone, pretrained)
        stage = self.backbone.last_stage
        if stage is None:
            raise ConfigError(
                f"model.backbone.name {config.backbone.name!r} has no last stage to dilate, as {config.kind} needs: "
                "choose a ResNet, or give the class a `last_stage`",
                "model.backbone.name",
            )
        dilate(stage)

    @property
    def body(self) -> nn.Module:
        return self.backbone

    def stage_losses(self, one: Any, proposals: Tensor, truth: Truth, images: float) -> dict[str, Tensor]:
        """Loss terms of one image after the proposals.

        Args:
            one: raw outputs, of a batch of 1.
            proposals: (q, 4) xyxy in input pixels, with gradients.
            truth: its objects.
            images: what the terms will be divided by.
        """
        raise NotImplementedError

    def regions(self, one: Any, proposals: Tensor, inference: InferenceConfig) -> Regions:
        """Boxes in input pixels, scores and masks of the regions of one image.

        Args:
            one: raw outputs, of a batch of 1.
            proposals: (q, 4) xyxy in input pixels.
            inference: `region_passes`.
        """
        raise NotImplementedError

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """C4 and C5, both at stride 16, of pixels (n, 3, S, S)."""
        with section("backbone"):
            _, c4, c5 = self.backbone((images - self.pixel_mean) / self.pixel_std)
        return c4, c5

    def image_loss(self, raw: Any, truth: Truth, images: float) -> dict[str, Tensor]:
        """Terms `objectness`, `rpn_box` and those of `stage_losses`."""
        logits, offsets = raw[0][0], raw[1][0]
        anchors = self.rpn.anchors(self.image_size, logits.device)
        rpn = self.rpn.losses(raw[0], offsets, anchors, truth["boxes"])
        proposals = self.rpn.proposals(logits, offsets, anchors, self.image_size)
        return rpn | self.stage_losses(raw, proposals, truth, images)

    def postprocess(self, raw: Any, sizes: Sequence[tuple[int, int]], inference: InferenceConfig) -> list[Detections]:
        """Proposals, regions, NMS, and the vote of `inference.mask_voting`. There are no prototypes."""
        anchors = self.rpn.anchors(self.image_size, raw[0].device)
        found = []
        for index, size in enumerate(sizes):
            one = image_outputs(raw, index)
            with section("rpn"):
                proposals = self.rpn.proposals(one[0][0], one[1][0], anchors, self.image_size)
            with section("regions"):
                regions = self.regions(one, proposals, inference)
            with section("nms"):
                kept = suppress(regions.boxes / self.image_size, regions.scores, inference, self.image_size)
            with section("assembly"):
                found.append(self._detections(regions, kept, size, inference))
        return found

    def _detections(self, regions: Regions, kept: Kept, size: tuple[int, int], inference: InferenceConfig) -> Detections:
        height, width = size
        scale = regions.boxes.new_tensor([width, height, width, height]) / self.image_size
        regions = regions._replace(boxes=clip_boxes_to_image(regions.boxes * scale, size))
        boxes, masks = regions.boxes[kept.anchors], None
        if inference.masks and inference.mask_voting:
            masks = vote(boxes, kept.labels, regions, size, inference.mask_threshold)
            boxes = tight_boxes(masks)
        elif inference.masks:
            masks = paste(regions.masks[kept.anchors], boxes, size, inference.mask_threshold)
        boxes = boxes.trunc() if inference.whole_pixel_boxes else boxes
        return Detections(boxes, kept.scores, kept.labels, masks)
