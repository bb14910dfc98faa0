"""YOLACT behind the model interface."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from yolact.config.engine import EngineConfig
from yolact.config.inference import InferenceConfig
from yolact.config.model import YolactConfig
from yolact.inference.engines import engine_of
from yolact.models.backbones import build_backbone, freeze_batch_norm
from yolact.models.base import IMAGENET_MEAN, IMAGENET_STD, LaterSteps, Model, resize
from yolact.models.masks import build_branch
from yolact.models.necks import FPN
from yolact.models.one_stage.anchor_head import PredictionHead
from yolact.models.one_stage.losses import Normalizer, losses, match_targets
from yolact.models.padding import set_padding
from yolact.ops.assignment import Matches
from yolact.ops.locations import make_anchors
from yolact.runtime.profiling import Sections, no_sections
from yolact.structures import Detections, RawOutputs, Target

Computed = tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]
"""Offsets, logits, mask parameters, maps, semantic logits: as in `RawOutputs`."""


class YolactModel(Model):
    """YOLACT: backbone, pyramid, shared head, and a mask branch. Source: paper sections 3 and 4."""

    def __init__(self, config: YolactConfig, num_classes: int, pretrained: bool = True) -> None:
        super().__init__()
        self.config = config
        self.image_size = config.image_size
        self.num_classes = num_classes
        channels = config.fpn.channels
        self.backbone = build_backbone(config.backbone, pretrained)
        self.fpn = FPN(config.fpn, self.backbone.channels)
        self.branch = build_branch(config.mask_branch, channels)
        self.head = PredictionHead(
            config.head, channels, config.anchors.per_cell, num_classes, self.branch.parameters_per_anchor
        )
        self.semantic = nn.Conv2d(channels, num_classes, 1) if config.loss.semantic > 0 else None
        for part in (self.fpn, self.branch, self.head, self.semantic):
            if part is not None:
                part.apply(_xavier)
        if config.padding != "zeros":
            set_padding(self, config.padding)
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if config.pixels == "imagenet" else ((0.0,) * 3, (255.0,) * 3)
        self.pixel_mean: Tensor
        self.pixel_std: Tensor
        self.register_buffer("pixel_mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("pixel_std", torch.tensor(std)[:, None, None], persistent=False)
        maps = (self.branch.maps_section,) if self.branch.maps_section else ()
        self.section_names = ("preprocess", "backbone", "fpn", *maps, "head", "nms", "assembly")

    def train(self, mode: bool = True) -> YolactModel:
        """Training or inference mode; a frozen backbone's batch norm stays in inference mode."""
        super().train(mode)
        if self.config.backbone.freeze_bn:
            freeze_batch_norm(self.backbone)
        return self

    def raw(self, images: Tensor, sections: Sections = no_sections, masks: bool = True) -> RawOutputs:
        """The network's outputs for (n, 3, S, S) float32 RGB images in 0..255; without masks, neither maps nor parameters."""
        return RawOutputs(*self.computed(images, sections, masks), self.anchors())

    def computed(self, images: Tensor, sections: Sections = no_sections, masks: bool = True) -> Computed:
        """The fields of `raw` that depend on the images: all but the anchors. Traced as one graph by torch.compile."""
        with sections("backbone"):
            features = self.backbone((images - self.pixel_mean) / self.pixel_std)
        with sections("fpn"):
            levels = self.fpn(features)
        maps = None
        if masks and self.branch.maps_section:
            with sections(self.branch.maps_section):
                maps = self.branch.maps(levels)
        with sections("head"):
            offsets, logits, parameters = self.head(levels, masks)
            parameters = self.branch.activate(parameters)
        semantic = self.semantic(levels[0]) if self.training and self.semantic is not None else None
        return offsets, logits, parameters, maps, semantic

    def match(self, targets: Sequence[Target]) -> list[Matches]:
        """The anchors' matches with each target."""
        size = self.image_size
        return match_targets(targets, self.anchors(), size, self.config.matching)

    def normalizer(self, targets: Sequence[Target]) -> Normalizer:
        return _normalizer(self.match(targets))

    def loss(self, images: Tensor, targets: Sequence[Target], normalizer: Normalizer | None = None) -> dict[str, Tensor]:
        """Terms `box`, `class`, `mask` and, in training mode, `semantic`; see `yolact.models.one_stage.losses.losses`."""
        return self.criterion(self.raw(images), targets, normalizer)

    def criterion(self, raw: RawOutputs, targets: Sequence[Target], normalizer: Normalizer | None = None) -> dict[str, Tensor]:
        """The loss terms of given raw outputs; always in float32."""
        matches = self.match(targets)
        divisor = normalizer or _normalizer(matches)
        with torch.autocast(raw.offsets.device.type, enabled=False):
            return losses(_float(raw), targets, matches, divisor, self.branch, self.config.loss, self.image_size)

    def detect(
        self, images: Sequence[Tensor], inference: InferenceConfig, sections: Sections, keep_prototypes: bool
    ) -> list[Detections]:
        engine = engine_of(self, inference.engine)
        raw = engine.outputs(images, inference.masks, sections)
        return engine.finish(raw, _sizes(images), inference, sections, keep_prototypes)

    @torch.inference_mode()
    def forward_pass(
        self,
        images: Sequence[Tensor],
        masks: bool = True,
        engine: EngineConfig = EngineConfig(),  # noqa: B008 - immutable
    ) -> LaterSteps:
        runs = engine_of(self, engine)
        raw, sizes = runs.outputs(images, masks, no_sections), _sizes(images)

        @torch.inference_mode()
        def later_steps(inference: InferenceConfig, keep_prototypes: bool) -> list[Detections]:
            return runs.finish(raw, sizes, inference, no_sections, keep_prototypes)

        return later_steps

    def outputs(self, images: Sequence[Tensor], masks: bool, sections: Sections = no_sections) -> RawOutputs:
        """float32 outputs for (3, H, W) uint8 images of any sizes; without masks, neither maps nor parameters."""
        with sections("preprocess"):
            batch = torch.stack([resize(image, self.image_size) for image in images])
        return _float(self.raw(batch, sections, masks))

    def anchors(self) -> Tensor:
        """(P, 4) cxcywh fractions of the input's side, on the network's device."""
        sizes = level_sizes(self.image_size, len(self.config.anchors.scales))
        return _cached_anchors(self.config.anchors, self.image_size, tuple(sizes), self.pixel_mean.device)


def level_sizes(image_size: int, levels: int) -> list[tuple[int, int]]:
    """Sides of P3, P4, ...: every stride-2 step rounds up, three of them before P3."""
    side, sides = image_size, []
    for step in range(3 + levels - 1):
        side = (side + 1) // 2
        if step >= 2:
            sides.append((side, side))
    return sides


@lru_cache(maxsize=16)
def _cached_anchors(config, image_size: int, level_sizes: tuple[tuple[int, int], ...], device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return make_anchors(config, image_size, list(level_sizes)).to(device)


def _normalizer(matches: Sequence[Matches]) -> Normalizer:
    return Normalizer(int(sum(matched.positive.sum() for matched in matches)), len(matches))


def _sizes(images: Sequence[Tensor]) -> list[tuple[int, int]]:
    """(H, W) of each."""
    return [(image.shape[-2], image.shape[-1]) for image in images]


def _float(raw: RawOutputs) -> RawOutputs:
    fields: dict[str, Any] = {name: None if tensor is None else tensor.float() for name, tensor in vars(raw).items()}
    return RawOutputs(**fields)


def _xavier(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
