"""FCIS: fully convolutional; a region's class, box and mask are means of maps, without a weight after the pooling.

Of each class two position-sensitive maps tell how likely a pixel lies inside an object of that class, in this part of it, and
how likely outside. n images, R regions, K classes with background, a group of g x g parts, b x b bins.
Source: Li, Qi, Dai, Ji, Wei, "Fully Convolutional Instance-Aware Semantic Segmentation" (CVPR 2017); msracver/FCIS
`fcis/symbols/resnet_v1_101_fcis.py`. What differs, beside `yolact/models/two_stage/single_map/model.py`: regions are pooled as
RoIAlign does, and the layer that reduces C5 learns at the rate of the others.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import clip_boxes_to_image

from yolact.config.inference import InferenceConfig
from yolact.config.model.single_map import FCISConfig
from yolact.models.layers.initialise import normal, xavier
from yolact.models.two_stage.per_image import Truth
from yolact.models.two_stage.single_map.model import SingleMap
from yolact.models.two_stage.single_map.proposals import STRIDE, ProposalNetwork
from yolact.models.two_stage.single_map.truth import draw, mask_targets, match
from yolact.ops.single_map.position_sensitive import position_sensitive_align
from yolact.ops.single_map.voting import Regions
from yolact.runtime.profiling import section

_POSITIVE_SHARE = 0.25
"""Of drawn regions, without `ohem`."""


class Raw(NamedTuple):
    """Raw outputs for a batch, (h, w) the map of stride 16."""

    objectness: Tensor
    """(n, A) logits."""
    offsets: Tensor
    """(n, A, 4) of the anchors."""
    scores: Tensor
    """(n, D * g * g, h, w): D = 2 K maps, outside then inside of each class; if not `joint`, a further one of each class."""
    boxes: Tensor
    """(n, 8 * g * g, h, w): offsets of the regions' boxes; those of background come first and are not used."""


class Read(NamedTuple):
    """What the maps say of the regions of an image."""

    classes: Tensor
    """(R, K) logits, background first."""
    masks: Tensor
    """(R, K, b, b) logits of lying inside."""
    offsets: Tensor
    """(R, 4)"""


class FCIS(SingleMap):
    """Position-sensitive maps on C5, proposals on C4."""

    config: FCISConfig
    class_layers = ("scores",)
    classifier = "scores"

    def __init__(self, config: FCISConfig, num_classes: int, pretrained: bool = True) -> None:
        super().__init__(config, num_classes, pretrained)
        _, c4, c5 = self.backbone.channels
        self.rpn = ProposalNetwork(config.proposals, c4)
        self.reduce = nn.Conv2d(c5, config.channels, 1)
        cells = config.group**2
        self.scores = nn.Conv2d(config.channels, cells * (2 if config.joint else 3) * (num_classes + 1), 1)
        self.boxes = nn.Conv2d(config.channels, cells * 8, 1)
        self.box_coder = BoxCoder((5.0, 5.0, 2.0, 2.0))
        self.reduce.apply(xavier)
        normal(self.scores, 0.01)
        normal(self.boxes, 0.01)

    def forward(self, images: Tensor, masks: bool = True) -> Raw:
        c4, c5 = self.features(images)
        with section("head"):
            reduced = F.relu(self.reduce(c5))
            return Raw(*self.rpn.predict(c4), self.scores(reduced), self.boxes(reduced))

    def stage_losses(self, one: Raw, proposals: Tensor, truth: Truth, images: float) -> dict[str, Tensor]:
        """`class` is the mean over the regions kept; `mask` and `box` are sums over positives by `regions_per_image`."""
        config = self.config
        regions = torch.cat([proposals.detach(), truth["boxes"]])
        matches = match(truth, regions)
        if not config.ohem:
            drawn = self._drawn(matches.overlap, matches.classes)
            regions, matches = regions[drawn], matches.at(drawn)
        read, at = self.read(one, regions), matches.positive
        wanted = mask_targets(truth, matches.objects[at], regions[at], config.bins)
        offsets = self.box_coder.encode_single(truth["boxes"][matches.objects[at]], regions[at])
        each = {
            "class": F.cross_entropy(read.classes, matches.classes, reduction="none"),
            "mask": config.mask_weight * _at(at, mask_losses(read.masks[at, matches.classes[at]], wanted), len(regions)),
            "box": _at(at, F.smooth_l1_loss(read.offsets[at], offsets, reduction="none").sum(dim=1), len(regions)),
        }
        if config.ohem:
            kept = hardest(torch.stack(list(each.values())).sum(dim=0), config.regions_per_image)
            each = {name: losses[kept] for name, losses in each.items()}
        divisors = {"class": max(1, len(each["class"])), "mask": config.regions_per_image, "box": config.regions_per_image}
        return {name: losses.sum() / divisors[name] for name, losses in each.items()}

    def regions(self, one: Raw, proposals: Tensor, inference: InferenceConfig) -> Regions:
        """Those proposed and, with 2 passes, those that they are moved to; the offsets of the last pass are not used.

        A region's mask is that of its best foreground class.
        """
        boxes, found = proposals, []
        for _ in range(inference.region_passes):
            read = self.read(one, boxes)
            scores = read.classes.softmax(dim=1)[:, 1:]
            own = read.masks[torch.arange(len(boxes)), scores.argmax(dim=1) + 1]
            found.append(Regions(boxes, scores, own.sigmoid()))
            moved = self.box_coder.decode_single(read.offsets, boxes)
            boxes = clip_boxes_to_image(moved, (self.image_size, self.image_size))
        return Regions(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def read(self, one: Raw, regions: Tensor) -> Read:
        """Pool the maps of one image over its regions (R, 4), in input pixels."""
        group, bins = self.config.group, self.config.bins
        foreground = one.boxes[0].tensor_split(2)[1]
        scores, boxes = (position_sensitive_align(maps, regions, group, bins, STRIDE) for maps in (one.scores[0], foreground))
        classes, masks = class_and_mask(scores, self.config.joint)
        return Read(classes, masks, boxes.mean(dim=(2, 3)))

    def _drawn(self, overlap: Tensor, classes: Tensor) -> Tensor:
        """Indices of the regions to learn from: positives, then background that touches an object."""
        total = self.config.regions_per_image
        positive = draw(classes.nonzero()[:, 0], int(total * _POSITIVE_SHARE))
        background = ((classes == 0) & (overlap >= self.config.background_iou)).nonzero()[:, 0]
        return torch.cat([positive, draw(background, total - len(positive))])


def class_and_mask(maps: Tensor, joint: bool) -> tuple[Tensor, Tensor]:
    """Class logits (R, K) and mask logits (R, K, b, b) of pooled maps.

    A bin speaks for a class as loudly as the louder of its inside and outside; it lies inside by their softmax.

    Args:
        maps: (R, 2 K, b, b), or with a further map of each class (R, 3 K, b, b) that its logit is the mean of.
        joint: which of both.
    """
    count = maps.shape[1] // (2 if joint else 3)
    outside, inside = maps[:, : 2 * count].unflatten(1, (count, 2)).unbind(2)
    evidence = torch.maximum(inside, outside) if joint else maps[:, 2 * count :]
    return evidence.mean(dim=(2, 3)), inside - outside


def mask_losses(logits: Tensor, wanted: Tensor) -> Tensor:
    """(p,) mean cross-entropy of (p, b, b) cells."""
    return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(dim=(1, 2))


def hardest(losses: Tensor, count: int) -> Tensor:
    """Indices of the `count` largest losses (R,), all where there are no more."""
    return losses.detach().topk(min(count, len(losses))).indices


def _at(index: Tensor, values: Tensor, count: int) -> Tensor:
    """(count,) values at their indices, 0 elsewhere."""
    return values.new_zeros(count).index_put((index,), values)
