"""SOLO, decoupled SOLO and SOLOv2 behind the interface of `yolact.models.base.Model`.

n images, S the input's side, K cells of all levels, E numbers of a kernel, C classes, (H, W) an original image.
Source: Wang et al., "SOLO" (ECCV 2020) and "SOLOv2" (NeurIPS 2020); the authors' code at `WXinlong/SOLO`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor, nn

from yolact.config.inference import InferenceConfig
from yolact.config.model.parts import IMAGENET_MEAN, IMAGENET_STD, FPNConfig
from yolact.config.model.solo import CellConfig, DecoupledSoloConfig, SoloConfig, Solov2Config
from yolact.models.backbones import build_backbone
from yolact.models.base import Counts, Model, to_float32
from yolact.models.box_free.solo.decoupled import DecoupledMasks
from yolact.models.box_free.solo.detection import CellOutputs, detect
from yolact.models.box_free.solo.dynamic import DynamicMasks
from yolact.models.box_free.solo.mask_source import MaskSource
from yolact.models.box_free.solo.static import StaticMasks
from yolact.models.box_free.solo.targets import CellAssignment, assign, shrink
from yolact.models.box_free.solo.towers import CategoryBranch, resize, size_of, spread
from yolact.models.layers.initialise import xavier
from yolact.models.masks.condinst import dice_loss
from yolact.models.necks.fpn import FPN
from yolact.models.one_stage.losses import focal_loss, nan_if_any_nonfinite
from yolact.runtime.profiling import section
from yolact.structures import Detections, Target

SOURCES: dict[type[CellConfig], type[MaskSource]] = {
    SoloConfig: StaticMasks,
    DecoupledSoloConfig: DecoupledMasks,
    Solov2Config: DynamicMasks,
}
_SMOOTH = 2e-3


class Raw(NamedTuple):
    """Raw outputs for a batch."""

    logits: Tensor
    """(n, K, C) of categories, level by level and row by row."""
    kernels: Tensor
    """(n, K, E); E = 0 where masks have no kernel per cell."""
    context: tuple[Tensor, ...]
    """What masks are made of (`MaskSource.context`), first dimension n."""


class Solo(Model):
    """Backbone with C2 → FPN P2..P6 → categories and masks of cells."""

    config: SoloConfig | DecoupledSoloConfig | Solov2Config
    class_layers = ("categories.output",)
    classifier = "categories.output"
    postprocess_sections = ("nms", "assembly")
    section_names = ("preprocess", "backbone", "fpn", "mask_features", "head", *postprocess_sections)

    def __init__(
        self, config: SoloConfig | DecoupledSoloConfig | Solov2Config, num_classes: int, pretrained: bool = True
    ) -> None:
        super().__init__()
        self.config, self.image_size, self.num_classes = config, config.image_size, num_classes
        self.grids = config.matching.grids
        self.starts = tuple(accumulate((side * side for side in self.grids), initial=0))
        self.backbone = build_backbone(config.backbone, pretrained, c2=True)
        pyramid = FPNConfig(channels=config.channels, extra_levels=0, upsample="nearest", relu=False)
        self.fpn = FPN(pyramid, self.backbone.channels)
        self.categories = CategoryBranch(config.channels, config.head, num_classes)
        self.source = SOURCES[type(config)](config)  # type: ignore[call-arg]
        self.outside_forward = tuple(f"source.{name}" for name in self.source.outside_forward)
        self.fpn.apply(xavier)
        self.categories.initialise()
        self.source.initialise()
        self.register_pixels(IMAGENET_MEAN, IMAGENET_STD)

    @property
    def frozen(self) -> nn.Module | None:
        return self.backbone if self.config.backbone.freeze_bn else None

    def forward(self, images: Tensor, masks: bool = True) -> Raw:
        """`masks` changes nothing, for boxes are those of the masks."""
        with section("backbone"):
            features = self.backbone((images - self.pixel_mean) / self.pixel_std)
        with section("fpn"):
            pyramid = self.fpn(features)
            pyramid.append(pyramid[-1][..., ::2, ::2])  # P6
            levels = spread(pyramid)
        with section("mask_features"):
            context = self.source.context(pyramid, levels)
        with section("head"):
            grids = [resize(level, (side, side)) for level, side in zip(levels, self.grids, strict=True)]
            return Raw(self.categories(grids), self.source.kernels(levels, self.grids), context)

    @torch.no_grad()
    def assign(self, targets: Sequence[Target]) -> CellAssignment:
        return assign(targets, self.config.matching, self.config.loss.shared_cells, self.image_size)

    def criterion(self, raw: Raw, assignment: CellAssignment, counts: Counts | None = None) -> dict[str, Tensor]:
        """Terms `mask` and `class`."""
        counts, config = counts or assignment.counts, self.config.loss
        with torch.autocast(assignment.classes.device.type, enabled=False):
            raw = to_float32(raw)
            divisor = max(1, counts["masks" if config.mask_divisor == "masks" else "positives"])
            classes = focal_loss(raw.logits, assignment.classes, config.alpha, config.gamma)
            classes = classes + nan_if_any_nonfinite(raw.logits)
            return {
                "mask": self._mask_loss(raw, assignment) * config.mask / divisor,
                "class": classes * config.classification / (counts["positives"] + 1),
            }

    def _mask_loss(self, raw: Raw, assignment: CellAssignment) -> Tensor:
        """Dice loss summed over the learned masks; zero, but part of the graph, where there is none."""
        total = sum((each.sum() * 0.0 for each in (raw.kernels, *raw.context)), start=raw.logits.new_zeros(()))
        for image, level, cells, objects in assignment.parts(self.starts):
            context = tuple(each[image] for each in raw.context)
            made = self.source.masks(context, raw.kernels[image, cells], level, cells - self.starts[level])
            wanted = shrink(assignment.masks[objects], size_of(made))
            total = total + dice_loss(made, wanted, _SMOOTH).sum()
        return total

    def postprocess(self, raw: Raw, sizes: Sequence[tuple[int, int]], inference: InferenceConfig) -> list[Detections]:
        """Choose cells, make their masks, suppress among these, enlarge them, and draw boxes around them.

        Raises:
            ConfigError: the suppression is one of boxes.
        """
        found = []
        for index, size in enumerate(sizes):
            context = tuple(each[index] for each in raw.context)
            outputs = CellOutputs(self.source, raw.logits[index].sigmoid(), raw.kernels[index], context, self.grids)
            found.append(detect(outputs, self.image_size, size, inference))
        return found

    @property
    def prototypes(self) -> MaskSource | None:
        return self.maps

    @property
    def maps(self) -> MaskSource | None:
        return None if self.source.map_count is None else self.source
