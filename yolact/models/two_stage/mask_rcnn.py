"""torchvision's Mask R-CNN behind the interface of `yolact.models.base.Model`: the two-stage comparison.

n images, S the input's side, P proposals of an image, C classes without background. Parts are torchvision's; what differs from
its `maskrcnn_resnet50_fpn`, so that YOLACT and it share backbones, images and training:

* The pyramid stands on C3..C5, not C2..C5: levels P3..P5, then one pooled level per further anchor size. Regions are pooled
  from P3..P5.
* Images are squashed to S x S, not padded to a multiple of 32. Anchor strides are the true 8, 16, 32, ...
* Every loss term is the mean over images of torchvision's loss of that image, where torchvision's is the mean over what it
  sampled in the whole batch. So a batch may be split in any way, and what is drawn for an image depends on its own seed alone.
* Crowds are left out of the targets; anchors on them count as background.
* Under mixed precision, backbone and pyramid alone use it: bfloat16 resolves coordinates near 550 to 4 pixels only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import maskrcnn_inference, paste_masks_in_image
from torchvision.ops import clip_boxes_to_image

from yolact.config.base import ConfigError
from yolact.config.inference import InferenceConfig
from yolact.config.model import MaskRCNNConfig
from yolact.config.model.parts import IMAGENET_MEAN, IMAGENET_STD
from yolact.models.backbones import freeze_batch_norm
from yolact.models.base import Counts, Model
from yolact.models.two_stage.network import BACKBONE_LEVELS, build_detector
from yolact.ops.nms import fast_nms
from yolact.runtime.profiling import section
from yolact.structures import Detections, Target

Features = dict[str, Tensor]


class Raw(NamedTuple):
    """Raw outputs for a batch."""

    levels: tuple[Tensor, ...]
    """(n, c, h, w) of the pyramid, finest first: P3, P4, ..."""


@dataclass(frozen=True)
class ImageTargets:
    """The targets of a batch."""

    targets: Sequence[Target]
    counts: Counts
    """`images`."""


@dataclass(frozen=True)
class _Survivors:
    """What suppression leaves of one image, best score first."""

    boxes: Tensor
    """(n, 4) xyxy in input pixels."""
    scores: Tensor
    """(n,)"""
    labels: Tensor
    """(n,) int64 in [0, C)."""


class MaskRCNN(Model):
    """Its `detector` is torchvision's MaskRCNN, whose parts are called one by one."""

    config: MaskRCNNConfig

    class_layers = ("detector.roi_heads",)
    classifier = "detector.roi_heads.box_predictor.cls_score"
    outside_forward = ("detector.rpn", "detector.roi_heads")
    postprocess_sections = ("rpn", "box_head", "nms", "mask_head", "assembly")
    section_names = ("preprocess", "backbone", "fpn", *postprocess_sections)

    def __init__(self, config: MaskRCNNConfig, num_classes: int, pretrained: bool = True) -> None:
        super().__init__()
        self.config = config
        self.image_size = config.image_size
        self.num_classes = num_classes
        self.detector = build_detector(config, num_classes, pretrained)
        self.register_pixels(IMAGENET_MEAN, IMAGENET_STD)

    def train(self, mode: bool = True) -> MaskRCNN:
        """Training or inference mode; a frozen backbone's batch norm stays in inference mode."""
        super().train(mode)
        if self.config.backbone.freeze_bn:
            freeze_batch_norm(self.detector.backbone.body)
        return self

    def forward(self, images: Tensor, masks: bool = True) -> Raw:
        """The pyramid's levels; all that follows depends on the image and belongs to `criterion` or `postprocess`."""
        backbone = self.detector.backbone
        with section("backbone"):
            features = backbone.body((images - self.pixel_mean) / self.pixel_std)
        with section("fpn"):
            return Raw(tuple(backbone.fpn(dict(zip(BACKBONE_LEVELS, features, strict=True))).values()))

    def assign(self, targets: Sequence[Target]) -> ImageTargets:
        """The targets as they are: torchvision's stages match them with what they propose."""
        return ImageTargets(targets, {"images": len(targets)})

    def criterion(self, raw: Raw, assignment: ImageTargets, counts: Counts | None = None) -> dict[str, Tensor]:
        """Terms `objectness`, `rpn_box`, `class`, `box`, `mask`, summed over these images, divided by the count of images.

        Finite for images without objects. The same in either mode of the module, but for batch norm.
        """
        divisor = max(1, (counts or assignment.counts)["images"])
        with torch.autocast(raw.levels[0].device.type, enabled=False), self._stages_in_mode(training=True):
            losses = [
                self._image_loss(_named(level[index : index + 1].float() for level in raw.levels), target)
                for index, target in enumerate(assignment.targets)
            ]
        return {ours: torch.stack([loss[theirs] for loss in losses]).sum() / divisor for ours, theirs in _TERMS.items()}

    def postprocess(self, raw: Raw, sizes: Sequence[tuple[int, int]], inference: InferenceConfig) -> list[Detections]:
        """RPN, box head, NMS, mask head. There are no prototypes.

        `suppression: standard` is torchvision's own; `fast` is Fast NMS over the boxes that each class predicts.

        Raises:
            ConfigError: another suppression is asked for.
        """
        if inference.suppression not in ("standard", "fast"):
            raise ConfigError(
                f"inference.suppression {inference.suppression!r} is not there for Mask R-CNN, "
                "which predicts boxes per class: choose 'standard' or 'fast'",
                "inference.suppression",
            )
        features = _named(raw.levels)
        with self._stages_in_mode(training=False):
            survivors = self._survivors(features, inference)
            masks: Sequence[Tensor | None] = [None] * len(sizes)
            if inference.masks:
                with section("mask_head"):
                    masks = self._masks(features, survivors)
        found = []
        for (height, width), each, mask in zip(sizes, survivors, masks, strict=True):
            with section("assembly"):
                boxes = each.boxes * (each.boxes.new_tensor([width, height, width, height]) / self.image_size)
                pasted = None if mask is None else _paste(mask, boxes, (height, width), inference.mask_threshold)
                boxes = boxes.trunc() if inference.whole_pixel_boxes else boxes
                found.append(Detections(boxes, each.scores, each.labels, pasted))
        return found

    def _image_list(self, count: int) -> ImageList:
        # Only the device, the count and the sizes of the images are read.
        return ImageList(self.pixel_mean.new_empty(count, 0), [(self.image_size, self.image_size)] * count)

    def _image_loss(self, features: Features, target: Target) -> dict[str, Tensor]:
        """torchvision's five losses of one image; what it samples is drawn from the target's seed."""
        learned = _learned(target)
        truth = {"boxes": target.boxes[learned], "labels": target.labels[learned] + 1, "masks": target.masks[learned]}
        device = target.boxes.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(target.seed)
            images = self._image_list(1)
            proposals, losses = self.detector.rpn(images, features, [truth])
            _, more = self.detector.roi_heads(features, proposals, images.image_sizes, [truth])
        return losses | more

    def _survivors(self, features: Features, inference: InferenceConfig) -> list[_Survivors]:
        heads = self.detector.roi_heads
        images = self._image_list(len(features["P3"]))
        with section("rpn"):
            proposals, _ = self.detector.rpn(images, features)
        with section("box_head"):
            logits, offsets = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, proposals, images.image_sizes)))
        with section("nms"):
            if inference.suppression == "standard":
                return self._standard(logits, offsets, proposals, inference)
            boxes = heads.box_coder.decode(offsets, proposals)[:, 1:]  # (P, C, 4)
            boxes = clip_boxes_to_image(boxes, (self.image_size, self.image_size))
            scores = torch.softmax(logits, dim=-1)[:, 1:]
            counts = [len(each) for each in proposals]
            return [_fast(*each, inference) for each in zip(boxes.split(counts), scores.split(counts), strict=True)]

    def _standard(
        self, logits: Tensor, offsets: Tensor, proposals: list[Tensor], inference: InferenceConfig
    ) -> list[_Survivors]:
        heads = self.detector.roi_heads
        heads.score_thresh, heads.nms_thresh = inference.score_threshold, inference.nms_iou
        heads.detections_per_img = inference.max_detections
        sizes = [(self.image_size, self.image_size)] * len(proposals)
        found = heads.postprocess_detections(logits, offsets, proposals, sizes)
        return [_Survivors(boxes, scores, labels - 1) for boxes, scores, labels in zip(*found, strict=True)]

    def _masks(self, features: Features, survivors: list[_Survivors]) -> tuple[Tensor, ...]:
        """(n, 1, 28, 28) probabilities per image, in the frame of each box, of each box's own class."""
        heads = self.detector.roi_heads
        sizes = [(self.image_size, self.image_size)] * len(survivors)
        pooled = heads.mask_roi_pool(features, [each.boxes for each in survivors], sizes)
        logits = heads.mask_predictor(heads.mask_head(pooled))
        return maskrcnn_inference(logits, [each.labels + 1 for each in survivors])

    @contextmanager
    def _stages_in_mode(self, training: bool) -> Iterator[None]:
        """torchvision's two stages return losses or detections by their `training` flag; nothing else in them reads it."""
        stages = (self.detector.rpn, self.detector.roi_heads)
        before = [stage.training for stage in stages]
        try:
            for stage in stages:
                stage.training = training
            yield
        finally:
            for stage, mode in zip(stages, before, strict=True):
                stage.training = mode


_TERMS = {
    "objectness": "loss_objectness",
    "rpn_box": "loss_rpn_box_reg",
    "class": "loss_classifier",
    "box": "loss_box_reg",
    "mask": "loss_mask",
}


def _named(levels: Iterable[Tensor]) -> Features:
    """Levels by torchvision's keys: P3, P4, ..."""
    return {f"P{number}": level for number, level in enumerate(levels, start=3)}


def _learned(target: Target) -> Tensor:
    """(n,) bool: instances that are no crowd and whose box has an area, without which its regression target is infinite."""
    return ~target.crowd & (target.boxes[:, 2:] > target.boxes[:, :2]).all(dim=1)


def _fast(boxes: Tensor, scores: Tensor, inference: InferenceConfig) -> _Survivors:
    """Fast NMS where each class has boxes of its own.

    Args:
        boxes: (P, C, 4) xyxy in input pixels.
        scores: (P, C) probabilities of the foreground classes.
    """
    passed = scores.amax(dim=1) > inference.score_threshold
    kept = [fast_nms(boxes[:, c], scores[:, c : c + 1], passed, inference).present() for c in range(scores.shape[1])]
    labels = torch.cat([each.labels + c for c, each in enumerate(kept)])
    proposals = torch.cat([each.anchors for each in kept])
    best, order = torch.cat([each.scores for each in kept]).sort(descending=True, stable=True)
    order = order[: inference.max_detections]
    return _Survivors(boxes[proposals[order], labels[order]], best[: inference.max_detections], labels[order])


def _paste(masks: Tensor, boxes: Tensor, size: tuple[int, int], threshold: float) -> Tensor:
    """(n, 1, 28, 28) probabilities in the frame of their boxes (n, 4), in image pixels, to (n, H, W) bool.

    One mask at a time, so that only one float map is held.
    """
    pairs = zip(masks, boxes, strict=True)
    pasted = [paste_masks_in_image(mask[None], box[None], size)[0, 0] > threshold for mask, box in pairs]
    return torch.stack(pasted) if pasted else masks.new_zeros((0, *size), dtype=torch.bool)
