"""MNC: boxes, then masks, then classes; each stage reads what the one before found, and its losses reach back through it.

n images, R regions, C classes without background, c channels, p x p cells of a warped region, s x s cells of a mask.
Source: Dai, He, Sun, "Instance-aware Semantic Segmentation via Multi-task Network Cascades" (CVPR 2016); daijifeng001/MNC
`models/VGG16/mnc_5stage`. What differs, beside `yolact/models/two_stage/single_map/model.py`: the head (`MNCConfig`), bins are
sampled at their centres, gradients to boxes are the true ones, and boxes are moved by the best foreground class.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import clip_boxes_to_image

from yolact.config.inference import InferenceConfig
from yolact.config.model.single_map import MNCConfig
from yolact.models.layers.initialise import xavier
from yolact.models.two_stage.per_image import Truth
from yolact.models.two_stage.single_map.mnc_head import MNCHead, Verdict
from yolact.models.two_stage.single_map.model import SingleMap
from yolact.models.two_stage.single_map.proposals import STRIDE, ProposalNetwork
from yolact.models.two_stage.single_map.truth import MASK_THRESHOLD, POSITIVE_IOU, Matches, draw, mask_targets, match
from yolact.ops.masks import paste
from yolact.ops.single_map.voting import Regions
from yolact.ops.single_map.warping import warp
from yolact.runtime.profiling import section

_POSITIVE_SHARE, _NEAR_SHARE, _NEAR_IOU = 0.3, 0.85, 0.1
"""Of the regions drawn, those that are positive; of the others, those that overlap an object by at least this IoU."""


class Raw(NamedTuple):
    """Raw outputs for a batch, (h, w) the map of stride 16."""

    objectness: Tensor
    """(n, A) logits."""
    offsets: Tensor
    """(n, A, 4) of the anchors."""
    features: Tensor
    """(n, c, h, w)"""


class MNC(SingleMap):
    """A map reduced from C5, which proposals and regions read."""

    config: MNCConfig
    class_layers = ("head.classes", "head.mask_classes", "head.offsets")
    classifier = "head.mask_classes"
    outside_forward = ("head",)

    def __init__(self, config: MNCConfig, num_classes: int, pretrained: bool = True) -> None:
        super().__init__(config, num_classes, pretrained)
        self.reduce = nn.Conv2d(self.backbone.channels[-1], config.channels, 1)
        self.reduce.apply(xavier)
        self.rpn = ProposalNetwork(config.proposals, config.channels)
        self.head = MNCHead(config, num_classes)
        self.box_coder = BoxCoder((10.0, 10.0, 5.0, 5.0))

    def forward(self, images: Tensor, masks: bool = True) -> Raw:
        _, c5 = self.features(images)
        with section("head"):
            features = F.relu(self.reduce(c5))
            return Raw(*self.rpn.predict(features), features)

    def stage_losses(self, one: Raw, proposals: Tensor, truth: Truth, images: float) -> dict[str, Tensor]:
        """`mask`, `class`, `mask_class` and `box` of the regions drawn and, with 5 stages, of those that they are moved to."""
        boxes = torch.cat([proposals, truth["boxes"]])
        matches = match(truth, boxes)
        drawn = _drawn(matches, self.config.regions_per_image)
        boxes = self._passing(boxes[drawn], images)
        terms, verdict = self._stage_losses(one, boxes, matches.at(drawn), truth)
        if self.config.stages == 5:
            moved = torch.cat([self._passing(self._moved(boxes, verdict), images), truth["boxes"]])
            again, _ = self._stage_losses(one, moved, match(truth, moved), truth)
            terms |= {f"second_{name}": term for name, term in again.items()}
        return terms

    def _stage_losses(self, one: Raw, boxes: Tensor, matches: Matches, truth: Truth) -> tuple[dict[str, Tensor], Verdict]:
        """Masks, classes and their losses for boxes (R, 4) of one image."""
        config, at = self.config, matches.positive
        warped = self._warped(one, boxes)
        logits = self.head.mask_logits(warped)
        masks = logits.sigmoid()
        objects = matches.objects[at]
        wanted = mask_targets(truth, objects, boxes[at], config.mask_side)
        good = at[mask_overlap(masks[at], boxes[at], truth["masks"][objects]) >= POSITIVE_IOU]
        by_mask = torch.zeros_like(matches.classes).index_copy(0, good, matches.classes[good])
        # only a mask that found its object learns from the classes
        seen = torch.where((by_mask > 0)[:, None, None], masks, masks.detach())
        verdict = self.head(warped, seen)
        offsets = self.box_coder.encode_single(truth["boxes"][objects], boxes[at].detach())
        predicted = verdict.offsets[at, matches.classes[at]]
        mask_loss = F.binary_cross_entropy_with_logits(logits[at], wanted, reduction="sum") / config.mask_side**2
        terms = {
            "mask": config.mask_weight * mask_loss / max(1, len(at)),
            "class": F.cross_entropy(verdict.classes, matches.classes, reduction="sum"),
            "mask_class": F.cross_entropy(verdict.mask_classes, by_mask, reduction="sum"),
            "box": F.smooth_l1_loss(predicted, offsets, reduction="sum"),
        }
        return {name: term if name == "mask" else term / max(1, len(boxes)) for name, term in terms.items()}, verdict

    def regions(self, one: Raw, proposals: Tensor, inference: InferenceConfig) -> Regions:
        """Those proposed and, with 5 stages, those that they are moved to, scored by the class of their masks."""
        boxes, found = proposals, []
        for _ in range(2 if self.config.stages == 5 else 1):
            warped = self._warped(one, boxes)
            masks = self.head.mask_logits(warped).sigmoid()
            verdict = self.head(warped, masks)
            found.append(Regions(boxes, verdict.mask_classes.softmax(dim=1)[:, 1:], masks))
            boxes = self._moved(boxes, verdict)
        return Regions(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def _warped(self, one: Raw, boxes: Tensor) -> Tensor:
        """(R, c, p, p): the largest of the samples of each cell."""
        more = self.config.oversampling
        warped = warp(one.features[0], boxes, more * self.config.pooled, STRIDE)
        return F.max_pool2d(warped, more) if more > 1 else warped

    def _moved(self, boxes: Tensor, verdict: Verdict) -> Tensor:
        """(R, 4) boxes moved by the offsets of the best foreground class of their masks, clipped to the image."""
        best = verdict.mask_classes.detach()[:, 1:].argmax(dim=1) + 1
        moved = self.box_coder.decode_single(verdict.offsets[torch.arange(len(boxes)), best], boxes)
        return clip_boxes_to_image(moved, (self.image_size, self.image_size))

    def _passing(self, boxes: Tensor, images: float) -> Tensor:
        """The boxes with as much of their gradient as the configuration lets through."""
        limit = self.config.largest_box_gradient
        if not self.config.box_gradient:
            return boxes.detach()
        if boxes.requires_grad and limit is not None:
            boxes = boxes.clone()
            sides = (boxes.detach()[:, 2:] - boxes.detach()[:, :2]).clamp(min=1).repeat(1, 2)
            most = limit / images / sides
            boxes.register_hook(lambda gradient: gradient.clamp(-most, most))
        return boxes


def mask_overlap(masks: Tensor, boxes: Tensor, truth: Tensor) -> Tensor:
    """IoU (p,) of predicted masks (p, s, s), in the frames of their boxes (p, 4), with whole masks (p, S, S) uint8."""
    if not len(masks):
        return masks.new_zeros(0)
    height, width = truth.shape[1:]
    found, truth = paste(masks.detach(), boxes.detach(), (height, width), MASK_THRESHOLD), truth.bool()
    return (found & truth).sum(dim=(1, 2)) / (found | truth).sum(dim=(1, 2)).clamp(min=1)


def _drawn(matches: Matches, count: int) -> Tensor:
    """Indices of the regions to learn from: positives, background near objects, background far from them."""
    background = matches.classes == 0
    near = background & (matches.overlap >= _NEAR_IOU)
    positive = draw(matches.positive, round(count * _POSITIVE_SHARE))
    rest = count - len(positive)
    close = draw(near.nonzero()[:, 0], round(rest * _NEAR_SHARE))
    far = draw((background & ~near).nonzero()[:, 0], rest - len(close))
    return torch.cat([positive, close, far])
