"""YOLACT's mask branch: prototypes for the whole image, coefficients per anchor, one matrix product.

Source: paper sections 3.1 to 3.3; reference `layers/modules/multibox_loss.py` lincomb_mask_loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from yolact.config.inference import InferenceConfig
from yolact.config.mask_branch import PrototypeConfig
from yolact.errors import UserError
from yolact.models.base import Counts
from yolact.models.masks.mask_branch import Instances, MaskBranch, Masks, Truth
from yolact.models.masks.protonet import Protonet
from yolact.models.masks.rescoring import MaskIoUNet
from yolact.ops import mask_assembly
from yolact.ops import masks as mask_ops
from yolact.structures import Detections


class LinearMasks:
    """Masks that are combinations of prototypes by coefficients, whatever predicts these."""

    map_count: int | None
    """Number k of the prototypes."""
    coefficient_bound: float
    """Largest absolute value of a coefficient."""

    def rescored(self, found: Detections, inference: InferenceConfig) -> Detections:
        """The detections with the mask scores of what their coefficients, prototypes, boxes and labels give now."""
        return found

    def reassembled(
        self, found: Detections, inference: InferenceConfig, coefficients: Tensor | None = None, boxes: Tensor | None = None
    ) -> Detections:
        """The detections with masks assembled again by `masks_again`, and scored again if the branch re-scores.

        Raises:
            UserError: the detections were made without masks.
        """
        made = masks_again(found, inference, coefficients, boxes)
        used = found.coefficients if coefficients is None else coefficients
        changed = replace(found, masks=made, coefficients=used, boxes=found.boxes if boxes is None else boxes)
        return self.rescored(changed, inference)


class PrototypeBranch(LinearMasks, MaskBranch):
    """Linear combination of prototypes; `num_classes` is read by mask re-scoring only."""

    section = "protonet"
    context_names = ("prototypes",)
    per_class = True

    def __init__(self, config: PrototypeConfig, channels: int, num_classes: int = 0) -> None:
        super().__init__()
        self.config = config
        self.protonet = Protonet(config, channels)
        self.parameters_per_location = self.map_count = config.k
        self.map_source = config.source
        self.coefficient_bound = 1.0 if config.coefficient_activation == "tanh" else math.inf
        self.rescoring = None
        if config.rescoring is not None:
            self.rescoring = MaskIoUNet(config.rescoring, num_classes)
            self.after_suppression, self.class_layers = ("rescoring",), ("rescoring.output",)
            if config.rescoring.normalisation == "mean":
                self.divisors = {"mask_iou": "mask_ious"}

    def context(self, levels: Sequence[Tensor]) -> tuple[Tensor]:
        """(n, k, h, w) prototypes, h and w twice those of the source level."""
        return (self.protonet(levels[self.config.source - 3]),)

    def activate(self, raw: Tensor) -> Tensor:
        return torch.tanh(raw) if self.config.coefficient_activation == "tanh" else raw

    def counts(self, truth: Truth) -> Counts:
        """`mask_ious`: the instances that mask re-scoring learns from, where they divide its term."""
        if self.rescoring is None or not self.divisors:
            return {}
        height, width = self.level_sizes[self.config.source - 3]
        large = self.rescoring.learns_from(mask_ops.downsample(truth.masks, (2 * height, 2 * width)))
        chosen, _, _ = truth.choose(self.config.max_masks_per_image)
        return {"mask_ious": int(large[truth.objects[chosen.to(large.device)]].sum())}

    def loss(self, instances: Instances, context: tuple[Tensor, ...], truth: Truth) -> dict[str, Tensor]:
        """Pixelwise binary cross entropy of the assembled masks against ground truth at prototype resolution.

        With the crop, each mask's sum is divided by its ground-truth box's area in prototype pixels; without, by the number of
        prototype pixels. The target is not cropped. Beyond `max_masks_per_image` positives, a random choice represents all.
        With re-scoring, `mask_iou` is its term; of what is beyond the cap it learns nothing.
        """
        config, (maps,) = self.config, context
        size = (maps.shape[-2], maps.shape[-1])
        chosen, counts, scale = truth.choose(config.max_masks_per_image)
        chosen = chosen.to(maps.device)
        objects = truth.objects[chosen]
        boxes = truth.boxes[objects]
        parameters = instances.parameters[chosen].split(counts)
        predicted = torch.cat([mask_assembly.assemble(own, rows) for own, rows in zip(maps, parameters, strict=True)])
        if config.crop_in_loss:
            predicted = mask_assembly.crop(predicted, boxes, config.crop_padding)
        predicted = predicted.nan_to_num()
        wanted = mask_ops.downsample(truth.masks, size)[objects]  # (q, h, w)
        per_mask = F.binary_cross_entropy(predicted, wanted, reduction="none").sum(dim=(1, 2))
        pixels = size[0] * size[1]
        if config.crop_in_loss:
            per_mask = per_mask / (boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1])
        terms = {"mask": (per_mask * scale.to(per_mask)).sum() * (config.loss_weight / pixels)}
        if self.rescoring is not None:
            terms["mask_iou"] = self.rescoring.loss(predicted, wanted, instances.labels[chosen])
        return terms

    def masks(
        self, instances: Instances, context: tuple[Tensor, ...], size: tuple[int, int], inference: InferenceConfig
    ) -> Masks:
        soft = soft_masks(context[0], instances.parameters, instances.boxes, inference)
        scores = self.mask_scores(soft, instances.labels, instances.scores, inference)
        return Masks(mask_ops.binarize(soft, size, inference.mask_threshold), scores)

    @torch.no_grad()
    def mask_scores(self, soft: Tensor, labels: Tensor, scores: Tensor, inference: InferenceConfig) -> Tensor | None:
        """(n,) class scores (n,) times the predicted IoUs of masks (n, h, w), as `soft_masks` gives them; None without
        re-scoring."""
        if self.rescoring is None or not inference.rescore_masks:
            return None
        return scores * self.rescoring.ious(soft, labels)

    def rescored(self, found: Detections, inference: InferenceConfig) -> Detections:
        """The detections with the mask scores of what their coefficients, prototypes, boxes and labels give now."""
        if self.rescoring is None or found.coefficients is None or found.prototypes is None:
            return found
        soft = soft_masks(found.prototypes, found.coefficients, _fractions(found, found.boxes), inference)
        return replace(found, mask_scores=self.mask_scores(soft, found.labels, found.scores, inference))


def soft_masks(prototypes: Tensor, coefficients: Tensor, boxes: Tensor, inference: InferenceConfig) -> Tensor:
    """(n, h, w) mask probabilities from prototypes (k, h, w), coefficients (n, k) and boxes (n, 4), xyxy fractions, that crop
    them if `inference` says so."""
    return mask_assembly.assemble(prototypes, coefficients, boxes if inference.crop else None, padding=inference.crop_padding)


def assemble(
    prototypes: Tensor, coefficients: Tensor, boxes: Tensor, size: tuple[int, int], inference: InferenceConfig
) -> Tensor:
    """(n, H, W) bool masks of `soft_masks`.

    Args:
        size: (H, W) of the masks.
        inference: crop and threshold.
    """
    return mask_ops.binarize(soft_masks(prototypes, coefficients, boxes, inference), size, inference.mask_threshold)


def masks_again(
    found: Detections, inference: InferenceConfig, coefficients: Tensor | None = None, boxes: Tensor | None = None
) -> Tensor:
    """(n, H, W) bool masks of the detections, assembled as `inference` says from other coefficients (n, k) or boxes (n, 4) in
    pixels.

    With neither, the masks are those of the prediction, up to the rounding of the crop's corners.

    Raises:
        UserError: the detections were made without masks.
    """
    prototypes, masks = found.prototypes, found.masks
    if prototypes is None or masks is None or found.coefficients is None:
        raise UserError("inference.intervention: there are no masks to assemble again; set inference.masks to true")
    used = found.coefficients if coefficients is None else coefficients
    corners = _fractions(found, found.boxes if boxes is None else boxes)
    return assemble(prototypes, used, corners, (masks.shape[-2], masks.shape[-1]), inference)


def _fractions(found: Detections, boxes: Tensor) -> Tensor:
    """(n, 4) boxes in pixels as fractions of the image, whose size is that of the masks."""
    assert found.masks is not None
    height, width = found.masks.shape[-2:]
    return boxes / torch.tensor([width, height, width, height], device=boxes.device)
