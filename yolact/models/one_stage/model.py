"""One-stage instance segmentation: backbone, pyramid, a dense head that finds objects, a mask branch that makes their masks.

YOLACT is the pair of `AnchorHead` and `PrototypeBranch`. n images, S the input's side, P locations of the head.
Source: paper sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from yolact.config.inference import InferenceConfig
from yolact.config.model import OneStageConfig
from yolact.config.model.parts import PIXELS, SemanticFormConfig
from yolact.models.backbones import build_backbone
from yolact.models.base import Counts, Model, to_float32
from yolact.models.layers.padding import set_padding
from yolact.models.masks import build_branch
from yolact.models.masks.mask_branch import Instances, MaskBranch, Truth
from yolact.models.masks.prototypes import PrototypeBranch
from yolact.models.necks import build_neck
from yolact.models.one_stage.dense_head import Assignment, Dense, DenseHead
from yolact.models.one_stage.heads import build_head
from yolact.models.one_stage.losses import nan_if_any_nonfinite
from yolact.models.one_stage.semantic import build_semantic, form_loss, initialise_semantic, paint
from yolact.ops.masks import to_pixels
from yolact.ops.nms import suppress
from yolact.runtime.profiling import section
from yolact.structures import Detections, Target


class Raw(NamedTuple):
    """Raw outputs of a one-stage model for a batch, before decoding and NMS."""

    dense: Dense
    """Outputs of the dense head, the mask parameters activated."""
    context: tuple[Tensor, ...]
    """What the mask branch shares between the instances of an image, first dimension n; empty without masks."""
    semantic: Tensor | None
    """(n, C, h, w) logits at P3's resolution (of "painted" C + 1); only in training mode, if the configuration has them."""

    def parameters_of(self, index: int, locations: Tensor) -> Tensor:
        """(d, m) mask parameters of one image at `locations` (d,)."""
        return self.dense.parameters[index, locations]


class OneStage(Model):
    """Backbone → neck → dense head and mask branch."""

    config: OneStageConfig
    postprocess_sections = ("nms", "assembly")

    def __init__(self, config: OneStageConfig, num_classes: int, pretrained: bool = True) -> None:
        super().__init__()
        self.config, self.image_size, self.num_classes = config, config.image_size, num_classes
        self.backbone = build_backbone(config.backbone, pretrained)
        self.fpn = build_neck(config, self.backbone.channels)
        self.branch = build_branch(config.mask_branch, self.fpn.channels, config.image_size, num_classes)
        sizes = self.fpn.level_sizes(self.backbone.level_sizes(config.image_size))
        self.head = build_head(config, num_classes, self.branch.parameters_per_location if self.branch else 0, sizes)
        form = config.loss if isinstance(config.loss, SemanticFormConfig) else None
        self.semantic_weight = getattr(form, "semantic", 0)
        self.semantic = build_semantic(form, self.fpn.channels, num_classes) if form and self.semantic_weight > 0 else None
        self.paints = self.semantic is not None and getattr(form, "semantic_form", "") == "painted"
        self.fpn.initialise()
        if self.branch is not None:
            self.branch.level_sizes = sizes
            self.branch.initialise()
        self.head.initialise()
        if self.semantic is not None:
            initialise_semantic(self.semantic)
        if config.padding != "zeros":
            set_padding(self, config.padding)
        layers, outside = (self.branch.class_layers, self.branch.after_suppression) if self.branch is not None else ((), ())
        own = [f"head.{name}" for name in self.head.class_layers]
        self.class_layers = (*own, "semantic", *(f"branch.{name}" for name in layers))
        self.classifier = f"head.{self.head.classifier}"
        self.outside_forward = ("semantic", *(f"branch.{name}" for name in outside))
        self.register_pixels(*PIXELS[config.pixels])
        context = (self.branch.section,) if self.branch is not None and self.branch.section else ()
        self.section_names = ("preprocess", "backbone", "fpn", *context, "head", *self.postprocess_sections)

    @property
    def frozen(self) -> nn.Module | None:
        return self.backbone if self.config.backbone.freeze_bn else None

    def forward(self, images: Tensor, masks: bool = True) -> Raw:
        branch = self.branch if masks else None
        with section("backbone"):
            features = self.backbone((images - self.pixel_mean) / self.pixel_std)
        with section("fpn"):
            levels = self.fpn(features)
        context: tuple[Tensor, ...] = ()
        if branch is not None:
            with section(branch.section or "fpn"):
                context = branch.context(levels)
        with section("head"):
            dense = self.head(levels, masks)
            if branch is not None:
                dense = dense._replace(parameters=branch.activate(dense.parameters))
        semantic = self.semantic(levels[0]) if self.training and self.semantic is not None else None
        return Raw(dense, context, semantic)

    @torch.no_grad()
    def assign(self, targets: Sequence[Target]) -> Assignment:
        assignment = Assignment.of(targets, self.head.assign(targets), self.image_size)
        assignment.counts.update(self.head.counts(assignment))
        if self.branch is not None:
            assignment.counts.update(self.branch.counts(_truth(assignment)))
        return replace(assignment, painted=paint(targets)) if self.paints else assignment

    def criterion(self, raw: Raw, assignment: Assignment, counts: Counts | None = None) -> dict[str, Tensor]:
        """Terms of the head, of the mask branch and, in training mode, `semantic`."""
        counts = counts or assignment.counts
        with torch.autocast(assignment.classes.device.type, enabled=False):
            raw = to_float32(raw)
            terms = self.head.loss(raw.dense, assignment, counts)
            if (branch := self.branch) is not None:
                usual = self.head.weights_sum(counts) if branch.weighted else max(1, counts[branch.divisor])
                for name, term in self._mask_loss(branch, raw, assignment).items():
                    other = branch.divisors.get(name)
                    terms[name] = term / (usual if other is None else max(1, counts[other]))
            if raw.semantic is not None:
                divisor = max(1, counts["images"])
                terms["semantic"] = form_loss(raw.semantic, assignment) * self.semantic_weight / divisor
        return terms

    def observed(self) -> list[float]:
        return self.head.observed()

    def update(self, sums: Sequence[float]) -> None:
        self.head.update(sums)

    def _mask_loss(self, branch: MaskBranch, raw: Raw, assignment: Assignment) -> dict[str, Tensor]:
        """The mask branch's terms, summed over instances; not finite if any parameter or context is not."""
        dense = raw.dense
        at = assignment.image, assignment.location
        locations = self.head.locations[assignment.location]
        boxes = self.head.decode(dense.box[at].detach(), locations)
        labels = assignment.labels[assignment.objects]
        positives = Instances(assignment.image, boxes, labels, torch.ones_like(boxes[:, 0]), dense.parameters[at], locations)
        weights = self.head.weights(assignment) if branch.weighted else None
        fault = sum(map(nan_if_any_nonfinite, raw.context), start=nan_if_any_nonfinite(dense.parameters))
        instances, truth = branch.sample(positives, _truth(assignment, weights), partial(self._propose, raw))
        terms = branch.loss(instances, raw.context, truth)
        return {name: fault + term for name, term in terms.items()}

    @torch.no_grad()
    def _propose(self, raw: Raw, inference: InferenceConfig) -> list[Instances]:
        """The detections of each image after NMS."""
        return [self._survivors(raw, index, inference) for index in range(len(raw.dense.box))]

    def postprocess(self, raw: Raw, sizes: Sequence[tuple[int, int]], inference: InferenceConfig) -> list[Detections]:
        """Decode, suppress, assemble. Source: paper section 3.5; reference `layers/functions/detection.py`."""
        found = []
        for index, size in enumerate(sizes):
            with section("nms"):
                survivors = self._survivors(raw, index, inference)
            with section("assembly"):
                found.append(self.assembled(survivors, tuple(each[index] for each in raw.context), size, inference))
        return found

    def _survivors(self, raw: Raw, index: int, inference: InferenceConfig) -> Instances:
        """Decode the boxes of one image and apply NMS."""
        boxes, scores = self.decoded(raw.dense, index)
        return self.suppressed(boxes, scores, partial(raw.parameters_of, index), inference, index)

    def decoded(self, dense: Dense, index: int) -> tuple[Tensor, Tensor]:
        """Boxes (P, 4) xyxy fractions of the input's side and foreground scores (P, C) of one image."""
        quality = None if dense.quality is None else dense.quality[index]
        return self.head.decode(dense.box[index], self.head.locations), self.head.scores(dense.logits[index], quality)

    def suppressed(
        self,
        boxes: Tensor,
        scores: Tensor,
        parameters_of: Callable[[Tensor], Tensor],
        inference: InferenceConfig,
        index: int = 0,
    ) -> Instances:
        """The survivors of NMS in image `index`.

        Args:
            boxes: (P, 4), as `scores` from `decoded`.
            scores: (P, C).
            parameters_of: called with locations (d,), returns their mask parameters (d, m).
            inference: thresholds and the kind of NMS.
        """
        kept = suppress(boxes, scores, inference, self.image_size, self.head.level_counts)
        image, at = torch.full_like(kept.labels, index), kept.anchors
        return Instances(image, boxes[at], kept.labels, kept.scores, parameters_of(at), self.head.locations[at])

    def assembled(
        self, survivors: Instances, context: tuple[Tensor, ...], size: tuple[int, int], inference: InferenceConfig
    ) -> Detections:
        """Detections of one image from the survivors of NMS.

        Args:
            survivors: best score first.
            context: of the mask branch for this image, without the batch dimension.
            size: (H, W) of the original image.
            inference: crop, threshold, whole-pixel boxes.
        """
        masks = scores = None
        if self.branch is not None and inference.masks:
            masks, scores = self.branch.masks(survivors, context, size, inference)
        return self.detections(survivors, context, size, inference, masks, scores)

    def detections(
        self,
        survivors: Instances,
        context: tuple[Tensor, ...],
        size: tuple[int, int],
        inference: InferenceConfig,
        masks: Tensor | None,
        mask_scores: Tensor | None,
    ) -> Detections:
        """Detections in pixels of an image of `size` (H, W), with the maps and coefficients of masks that are made of such."""
        boxes = to_pixels(survivors.boxes, size)
        boxes = boxes.trunc() if inference.whole_pixel_boxes else boxes
        of_maps = self.maps is not None and bool(context)
        return Detections(
            boxes,
            survivors.scores,
            survivors.labels,
            masks,
            coefficients=survivors.parameters if of_maps and self.prototypes is not None else None,
            prototypes=context[0] if of_maps else None,
            mask_scores=mask_scores if inference.rescore_masks else None,
        )

    @property
    def prototypes(self) -> PrototypeBranch | None:
        return self.branch if isinstance(self.branch, PrototypeBranch) else None

    @property
    def maps(self) -> MaskBranch | None:
        return self.branch if self.branch is not None and self.branch.map_count is not None else None

    @property
    def dense_head(self) -> DenseHead:
        return self.head


def _truth(assignment: Assignment, weights: Tensor | None = None) -> Truth:
    """What the mask loss of all positive locations compares with."""
    return Truth(
        assignment.objects,
        assignment.boxes,
        assignment.masks,
        assignment.per_image,
        assignment.seeds,
        assignment.labels,
        assignment.owner,
        weights,
    )
