"""Mask2Former behind the interface of `yolact.models.base.Model`: what is modern beside YOLACT.

Pixel decoder, query decoder, matching and losses are those of Hugging Face's `transformers` (an extra of the package), built
from a configuration. What differs from its `Mask2FormerForUniversalSegmentation`:

* The backbone is one of the workbench's, with C2.
* The points of the losses and of the matching are drawn image by image from each target's seed. The losses are those of the
  library for the whole batch, put together from images, so that a batch may be split in any way.
* Detections: class probability times the mean probability inside the mask, as in Mask2Former's own code; masks are upsampled
  before they are cut, and boxes are those of the masks.
* Crowds are left out of the targets.
* Under mixed precision, losses are in float32.

n images, Q queries, C classes, L layers of the query decoder. Source: Cheng et al., "Masked-attention Mask Transformer for
Universal Image Segmentation" (CVPR 2022); transformers `models/mask2former/modeling_mask2former.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolact.config.base import ConfigError
from yolact.config.inference import InferenceConfig
from yolact.config.model import Mask2FormerConfig
from yolact.config.model.parts import IMAGENET_MEAN, IMAGENET_STD
from yolact.models.backbones import build_backbone
from yolact.models.base import Counts, Model, to_float32
from yolact.models.box_free.query_network import build_criterion, build_network
from yolact.ops.mask_nms import maskness
from yolact.ops.masks import instances_at_once, tight_boxes
from yolact.ops.nms import best
from yolact.runtime.profiling import section
from yolact.structures import Detections, Target

TERMS = {"class": "loss_cross_entropy", "mask": "loss_mask", "dice": "loss_dice"}
"""{our name: the library's}."""


class Raw(NamedTuple):
    """Raw outputs for a batch: of every layer, beginning with the queries as they are, in training mode; else of the last."""

    classes: tuple[Tensor, ...]
    """(n, Q, C + 1) logits of each; the last class is "no object"."""
    masks: tuple[Tensor, ...]
    """(n, Q, h, w) logits of each, of stride 4."""


@dataclass(frozen=True)
class MaskTargets:
    """The objects of a batch, crowds excluded."""

    labels: Sequence[Tensor]
    """Per image (g,) int64 in [0, C)."""
    masks: Sequence[Tensor]
    """Per image (g, S, S) float32, 0 or 1."""
    seeds: Sequence[int]
    """One per image."""
    counts: Counts
    """`images`, `masks`, and `weights`, the sum of the queries' class weights."""


class Mask2Former(Model):
    """Backbone → pixel decoder → query decoder."""

    config: Mask2FormerConfig
    class_layers = ("network.class_predictor", "losses")
    classifier = "network.class_predictor"
    outside_forward = ("losses",)
    postprocess_sections = ("assembly",)
    section_names = ("preprocess", "backbone", "pixel_decoder", "query_decoder", *postprocess_sections)

    def __init__(self, config: Mask2FormerConfig, num_classes: int, pretrained: bool = True) -> None:
        super().__init__()
        self.config, self.image_size, self.num_classes = config, config.image_size, num_classes
        self.backbone = build_backbone(config.backbone, pretrained, c2=True)
        self.network: Any = build_network(config, self.backbone.channels, num_classes)
        self.losses = build_criterion(config, num_classes)
        self.register_pixels(IMAGENET_MEAN, IMAGENET_STD)

    @property
    def frozen(self) -> nn.Module | None:
        return self.backbone if self.config.backbone.freeze_bn else None

    def forward(self, images: Tensor, masks: bool = True) -> Raw:
        with section("backbone"):
            features = self.backbone((images - self.pixel_mean) / self.pixel_std)
        with section("pixel_decoder"):
            pixels = self.network.pixel_decoder(features)
        with section("query_decoder"):
            made = self.network.transformer_module(
                multi_scale_features=pixels.multi_scale_features, mask_features=pixels.mask_features, output_hidden_states=True
            )
            states, logits = made.intermediate_hidden_states, made.masks_queries_logits
            if not self.training:
                states, logits = states[-1:], logits[-1:]
            return Raw(tuple(self.network.class_predictor(state.transpose(0, 1)) for state in states), tuple(logits))

    @torch.no_grad()
    def assign(self, targets: Sequence[Target]) -> MaskTargets:
        """The targets as they are: every layer's outputs are matched with them when the loss is computed."""
        real = [~target.crowd for target in targets]
        labels = [target.labels[own] for target, own in zip(targets, real, strict=True)]
        masks = [target.masks[own].float() for target, own in zip(targets, real, strict=True)]
        weights = sum(self._weights(len(own)) for own in labels)
        counts = {"images": len(targets), "masks": sum(map(len, labels)), "weights": weights}
        return MaskTargets(labels, masks, [target.seed for target in targets], counts)

    def _weights(self, objects: int) -> float:
        """Sum of the class weights of an image's queries, of which each object takes one."""
        queries, no_object = self.config.query_decoder.queries, self.config.loss.no_object
        matched = min(objects, queries)
        return matched + (queries - matched) * no_object

    def criterion(self, raw: Raw, assignment: MaskTargets, counts: Counts | None = None) -> dict[str, Tensor]:
        """Terms `class`, `mask`, `dice`, each summed over the layers."""
        counts, weights = counts or assignment.counts, self.config.loss
        with torch.autocast(raw.classes[0].device.type, enabled=False):
            raw = to_float32(raw)
            images = [self._image_loss(raw, assignment, index) for index in range(len(assignment.labels))]
            summed = {name: torch.stack([image[name] for image in images]).sum() for name in TERMS}
        masks = max(1, counts["masks"])
        return {
            "class": summed["class"] * weights.classification / counts["weights"],
            "mask": summed["mask"] * weights.mask / masks,
            "dice": summed["dice"] * weights.dice / masks,
        }

    def _image_loss(self, raw: Raw, assignment: MaskTargets, index: int) -> dict[str, Tensor]:
        """The library's terms of one image over all layers, not yet divided; points are drawn from the image's seed."""
        labels, masks = assignment.labels[index], assignment.masks[index]
        own = slice(index, index + 1)
        layers = [
            {"class_queries_logits": classes[own], "masks_queries_logits": maps[own]}
            for classes, maps in zip(raw.classes, raw.masks, strict=True)
        ]
        with torch.random.fork_rng(devices=[labels.device] if labels.device.type == "cuda" else []):
            torch.manual_seed(assignment.seeds[index])
            found = self.losses(**layers[-1], mask_labels=[masks], class_labels=[labels], auxiliary_predictions=layers[:-1])
        divided_by = {"class": self._weights(len(labels)), "mask": max(1, len(labels)), "dice": max(1, len(labels))}
        return {
            ours: torch.stack([value for name, value in found.items() if name.startswith(theirs)]).sum() * divided_by[ours]
            for ours, theirs in TERMS.items()
        }

    @torch.no_grad()
    def postprocess(self, raw: Raw, sizes: Sequence[tuple[int, int]], inference: InferenceConfig) -> list[Detections]:
        """The best pairs of query and class, by class probability times the mean probability inside the mask.

        Raises:
            ConfigError: a suppression is asked for.
        """
        if inference.suppression != "none":
            raise ConfigError(
                f"inference.suppression {inference.suppression!r} is not there for Mask2Former, which finds each object once: "
                "choose 'none'",
                "inference.suppression",
            )
        with section("assembly"):
            return [self._detections(raw, index, size, inference) for index, size in enumerate(sizes)]

    def _detections(self, raw: Raw, index: int, size: tuple[int, int], inference: InferenceConfig) -> Detections:
        probabilities = raw.classes[-1][index].softmax(dim=1)[:, :-1]  # (Q, C)
        scores, pairs = (each[0] for each in best(probabilities.reshape(1, -1), inference.max_detections))
        queries, chosen = (pairs // self.num_classes).unique(return_inverse=True)
        masks, quality = _masks(raw.masks[-1][index, queries], size, inference.mask_threshold)
        scores, order = (scores * quality[chosen]).sort(descending=True, stable=True)
        order = order[scores > inference.score_threshold]
        masks = masks[chosen[order]]
        boxes = tight_boxes(masks)
        boxes = boxes.trunc() if inference.whole_pixel_boxes else boxes
        return Detections(boxes, scores[: len(order)], pairs[order] % self.num_classes, masks if inference.masks else None)


def _masks(logits: Tensor, size: tuple[int, int], threshold: float) -> tuple[Tensor, Tensor]:
    """Masks (q, H, W) bool from logits (q, h, w), and the mean probability inside each, (q,)."""
    masks, quality = [], []
    for part in logits.split(instances_at_once(size)):
        soft = F.interpolate(part[None], size=size, mode="bilinear", align_corners=False)[0].sigmoid()
        masks.append(soft > threshold)
        quality.append(maskness(soft, masks[-1]))
    return torch.cat(masks), torch.cat(quality)
