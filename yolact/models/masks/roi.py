"""Masks of regions: features pooled from the pyramid inside every detected box, and a small network that makes masks of them.

This is Mask R-CNN's mask head on a one-stage detector, as in RetinaMask and CenterMask. The regions of training are the current
network's own detections and the objects' boxes. Different from the official codes, whose mask loss is the mean over the regions
of a GPU's batch: how many these are depends on what the network detects, and isn't known before the forward pass. As for Mask
R-CNN here, the loss is the mean over the regions of an image, then over images; so a batch may be split in any way.

n images, d regions, C classes, input of side S; s the side of pooled features, 2s that of masks. Boxes are xyxy fractions of S.
Source: Fu et al., "RetinaMask" (arXiv 1901.03353); Lee and Park, "CenterMask" (CVPR 2020), centermask2
`centermask/modeling/centermask`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_convert, box_iou

from yolact.config.inference import InferenceConfig
from yolact.config.mask_branch import RoIMaskConfig
from yolact.models.layers.mask_iou_head import MaskIoUHead, mask_iou_loss, mask_iou_targets, of_class
from yolact.models.masks.mask_branch import Instances, MaskBranch, Masks, Truth
from yolact.ops import masks as mask_ops
from yolact.ops.regions import FINEST, area_share, level_by_area, level_by_ratio, masks_in_regions, pool_regions

_FARTHEST = 1.0
"""Boxes are cut where they reach further than this beyond the image, in units of its side: RoIAlign with as many samples as
pixels takes time and memory without bound for boxes without bound."""


class RoIMaskBranch(MaskBranch):
    """No mask parameters: the branch pools features of its own, after suppression."""

    section = None
    divisor = "images"
    after_suppression = ("head", "iou")
    per_class = True
    class_layers = ("head.output", "iou.output")

    def __init__(self, config: RoIMaskConfig, channels: int, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.parameters_per_location = 0
        self.head = MaskHead(config, channels, num_classes)
        scoring = config.mask_iou
        sizes = {"width": scoring.channels, "convs": scoring.convs, "units": scoring.units, "side": config.size}
        self.iou = MaskIoUHead(channels, num_classes, **sizes) if config.mask_scoring else None

    def initialise(self) -> None:
        self.head.initialise()
        if self.iou is not None:
            self.iou.initialise()

    def context(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The levels that regions are pooled from, (n, c, h, w) each."""
        return tuple(levels[: self.config.highest_level - FINEST + 1])

    def sample(
        self, positives: Instances, truth: Truth, propose: Callable[[InferenceConfig], Sequence[Instances]]
    ) -> tuple[Instances, Truth]:
        """Detections of the current network that overlap an object by `matching_iou`, and every object's own box.

        An object's box comes after the detections of its image; so each object has at least one region.
        """
        config = self.config
        found = propose(
            InferenceConfig(
                suppression="standard",
                max_detections=config.proposals,
                score_threshold=config.proposal_score_threshold,
                nms_iou=config.proposal_nms_iou,
                level_top_k=config.proposal_level_top_k,
            )
        )
        matched = [self._matched(each, truth, image) for image, each in enumerate(found)]
        boxes, objects = (torch.cat(column) for column in zip(*matched, strict=True))
        counts = [len(each) for each, _ in matched]
        image = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)).to(objects.device)
        truth = replace(truth, objects=objects, per_image=counts)
        if config.max_masks_per_image is not None:
            chosen, counts, _ = truth.choose(config.max_masks_per_image)
            chosen = chosen.to(objects.device)
            boxes, image = boxes[chosen], image[chosen]
            truth = replace(truth, objects=objects[chosen], per_image=counts)
        locations = box_convert(boxes, "xyxy", "cxcywh")
        regions = Instances(image, boxes, truth.labels[truth.objects], torch.ones_like(boxes[:, 0]), boxes[:, :0], locations)
        return regions, truth

    def _matched(self, found: Instances, truth: Truth, image: int) -> tuple[Tensor, Tensor]:
        """Boxes (d, 4) of one image's regions and their objects (d,)."""
        (own,) = (truth.owner == image).nonzero(as_tuple=True)
        real = truth.boxes[own]
        if not len(own):
            return real, own
        boxes = self._clipped(found.boxes)
        overlap, objects = box_iou(boxes, real).max(dim=1)
        fits = overlap >= self.config.matching_iou  # false where a box is not finite
        return torch.cat([boxes[fits], real]), torch.cat([own[objects[fits]], own])

    def _clipped(self, boxes: Tensor) -> Tensor:
        return boxes.clamp(0, 1) if self.config.clip == "boxes" else boxes

    def pool(self, context: tuple[Tensor, ...], image: Tensor, boxes: Tensor) -> Tensor:
        """(d, c, s, s) features of regions.

        Args:
            context: (n, c, h, w) each.
            image: (d,) int64 in [0, n).
            boxes: (d, 4).
        """
        config, side = self.config, self.image_size
        corners = boxes.nan_to_num().clamp(-_FARTHEST, 1 + _FARTHEST) * side
        if config.level_rule == "ratio":
            level = level_by_ratio(corners, config.highest_level, side)
        else:
            level = level_by_area(corners, config.highest_level, config.canonical_size, config.canonical_level)
        return pool_regions(context, level, image, corners, config.size, config.samples, config.aligned)

    def loss(self, instances: Instances, context: tuple[Tensor, ...], truth: Truth) -> dict[str, Tensor]:
        """Terms `mask`, binary cross entropy of the object's class over all cells of the region, and, with mask scoring,
        `mask_iou`: each the mean over an image's regions, summed over images."""
        features = self.pool(context, instances.image, instances.boxes)
        logits = of_class(self.head(features), instances.labels)
        corners = instances.boxes * self.image_size
        wanted = masks_in_regions(truth.masks, truth.objects, corners, logits.shape[-1])
        each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(dim=(1, 2))
        share = each.new_tensor([1 / max(1, count) for count in truth.per_image])[instances.image]
        terms = {"mask": (each * share).sum() * self.config.loss_weight}
        if self.iou is not None:
            predicted = of_class(self.iou(features, logits.sigmoid()), instances.labels)
            targets = mask_iou_targets(logits, wanted, area_share(truth.masks, truth.objects, corners))
            pairs = zip(*(column.split(list(truth.per_image)) for column in (predicted, targets)), strict=True)
            each = torch.stack([mask_iou_loss(*pair) for pair in pairs])
            terms["mask_iou"] = each.sum() * self.config.mask_iou.loss_weight
        return terms

    def masks(
        self, instances: Instances, context: tuple[Tensor, ...], size: tuple[int, int], inference: InferenceConfig
    ) -> Masks:
        """Masks pasted into their boxes. With mask scoring, scores are class score times predicted IoU, which no function
        holds between 0 and 1."""
        boxes = self._clipped(instances.boxes)
        features = self.pool(tuple(level[None] for level in context), torch.zeros_like(instances.labels), boxes)
        soft = of_class(self.head(features), instances.labels).sigmoid()
        corners = mask_ops.to_pixels(boxes, size, clip=self.config.clip != "none")
        paste = mask_ops.paste_padded if self.config.pasting == "padded" else mask_ops.sample
        pasted = paste(soft, corners, size, inference.mask_threshold)
        if self.iou is None:
            return Masks(pasted)
        return Masks(pasted, instances.scores * of_class(self.iou(features, soft), instances.labels))


class MaskHead(nn.Module):
    """Convolutions, spatial attention if configured, upsampling by two, and a mask for every class.

    Source: He et al., "Mask R-CNN" (ICCV 2017), figure 4; CenterMask's SAG-Mask.
    """

    def __init__(self, config: RoIMaskConfig, channels: int, num_classes: int) -> None:
        super().__init__()
        width = config.channels
        self.convs = nn.ModuleList(
            nn.Conv2d(width if number else channels, width, 3, padding=1) for number in range(config.convs)
        )
        self.attention = SpatialAttention() if config.attention else None
        self.upsample = nn.ConvTranspose2d(width if config.convs else channels, width, 2, stride=2)
        self.output = nn.Conv2d(width, num_classes, 1)

    def initialise(self) -> None:
        """Draw the weights: normal by fan-out, but the output's N(0, 0.001); zero biases. Source: detectron2 `mask_head.py`."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.output.weight, std=0.001)

    def forward(self, features: Tensor) -> Tensor:
        """(d, C, 2s, 2s) logits from features (d, c, s, s)."""
        for conv in self.convs:
            features = F.relu(conv(features))
        if self.attention is not None:
            features = self.attention(features)
        return self.output(F.relu(self.upsample(features)))


class SpatialAttention(nn.Module):
    """Weighs every position by a number in [0, 1], made of the mean and the largest of its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 3, padding=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(d, c, h, w) of the same shape."""
        summary = torch.stack([features.mean(dim=1), features.amax(dim=1)], dim=1)
        return features * self.conv(summary).sigmoid()
