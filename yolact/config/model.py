"""What a network is: every field that fixes its weights' shapes or the loss they are trained with.

Boxes and anchors are measured in pixels of the network's input, a square of `image_size`.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, JsonValue, Tag, field_validator, model_validator

from yolact.config.base import CUSTOM, Config, kind_of

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


def _import_path(path: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", path):
        raise ValueError(f"{path!r} is no import path such as {CUSTOM}")
    return path


def _finite(options: dict[str, JsonValue]) -> dict[str, JsonValue]:
    open_: list[Any] = [options]
    while open_:
        value = open_.pop()
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{value} is not a finite number")
        open_ += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return options


ImportPath = Annotated[str, AfterValidator(_import_path)]
"""Where a class or function of the user's own is imported from. Validation checks its form only and imports nothing."""
Options = Annotated[
    dict[str, JsonValue], AfterValidator(_finite), Field(default_factory=dict, exclude_if=lambda options: not options)
]
"""Keyword arguments for what an import path names; plain data leaves them out where there are none."""

Padding = Literal["zeros", "reflect", "replicate", "circular"]
"""What stands beyond a feature map's border, where a convolution reads it."""

BACKBONES = ("resnet101", "resnet50", "resnet18", "darknet53", "mobilenet_v2", "resnet_tiny")


class BackboneConfig(Config):
    """The feature extractor (`yolact/models/backbones.py`)."""

    name: str = "resnet101"
    """One of BACKBONES, or the import path "package.module:function" of a builder."""
    weights: str | None = "imagenet"
    """"imagenet" (torchvision's own weights, from its cache folder), a path to a state dict, or None (random)."""
    freeze_bn: bool = False
    """Keep batch-norm statistics and affine weights as loaded. The official code does so below 6 images per GPU."""
    width: Positive = 16
    """Channels of the first stage; read by `resnet_tiny` only."""
    options: Options
    """Keyword arguments for a builder given by import path, which gets this configuration as its first argument."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in BACKBONES and ":" not in name:
            raise ValueError(f"unknown backbone {name!r}: choose one of {', '.join(BACKBONES)}, or package.module:function")
        return _import_path(name) if ":" in name else name

    @model_validator(mode="after")
    def _options_are_read(self) -> BackboneConfig:
        if self.options and ":" not in self.name:
            raise ValueError(f"options {sorted(self.options)} are for a builder given by import path; {self.name} takes none")
        return self


class FPNConfig(Config):
    """The feature pyramid P3..P7 (`yolact/models/necks.py`)."""

    channels: Positive = 256
    """Channels of every level."""
    extra_levels: Annotated[int, Field(ge=0, le=2)] = 2
    """Levels above P5, each a stride-2 convolution of the one below: 2 gives P6 and P7."""
    extra_from: Literal["P5", "C5"] = "P5"
    """What P6 is made of: P5 after its ReLU (official code), or the backbone's C5, as RetinaNet first had it."""


class AnchorConfig(Config):
    """Prior boxes (`yolact/ops/locations.py`)."""

    scales: tuple[tuple[Annotated[float, Field(gt=0)], ...], ...] = ((24,), (48,), (96,), (192,), (384,))
    """Side lengths in input pixels, one tuple per pyramid level from P3 upwards."""
    aspect_ratios: tuple[Annotated[float, Field(gt=0)], ...] = (1, 0.5, 2)
    """Width divided by height."""
    square: bool = True
    """Official quirk: height is set to the width, so the three ratios become squares of side s, s/sqrt(2), s*sqrt(2)."""

    @property
    def per_cell(self) -> int:
        """Anchors at each position of a level."""
        return len(self.aspect_ratios) * len(self.scales[0])

    @model_validator(mode="after")
    def _equal_counts(self) -> AnchorConfig:
        if not self.scales or not self.aspect_ratios or not self.scales[0]:
            raise ValueError("anchors need at least one level, one scale per level and one aspect ratio")
        if len({len(level) for level in self.scales}) != 1:
            raise ValueError("the prediction head is shared, so every level needs the same number of scales")
        return self


class HeadConfig(Config):
    """The prediction head shared by all levels (`yolact/models/one_stage/anchor_head.py`)."""

    shared_convs: Annotated[int, Field(ge=0)] = 1
    """3x3 convolutions with ReLU before the box, class and mask convolutions part."""


class PrototypeConfig(Config):
    """Linear combination of prototypes, YOLACT's own mask branch (`yolact/models/masks/prototypes.py`)."""

    kind: Literal["prototypes"] = "prototypes"
    k: Positive = 32
    """Number of prototypes, hence of coefficients per anchor."""
    source: Annotated[int, Field(ge=3, le=7)] = 3
    """Pyramid level the protonet hangs on: 3 is P3."""
    channels: Positive = 256
    """Channels inside the protonet."""
    depth: Positive = 3
    """3x3 convolutions before the upsampling by two."""
    prototype_activation: Literal["relu", "none"] = "relu"
    coefficient_activation: Literal["tanh", "none"] = "tanh"
    crop_in_loss: bool = True
    """Zero each mask outside its ground-truth box (plus `crop_padding`) and divide its loss by the box's area."""
    crop_padding: Annotated[int, Field(ge=0)] = 1
    """Padding of that crop in prototype pixels."""
    loss_weight: Annotated[float, Field(ge=0)] = 6.125
    max_masks_per_image: Positive = 100
    """Positives per image that enter the mask loss; the loss is scaled up by what was left out."""


class FCMaskConfig(Config):
    """The fc-mask baseline: every anchor predicts its own small mask (`yolact/models/masks/fc_mask.py`)."""

    kind: Literal["fc_mask"] = "fc_mask"
    size: Positive = 16
    """Side of the predicted mask in pixels; the paper's row most likely used 20."""
    loss_weight: Annotated[float, Field(ge=0)] = 0.05
    crop_box: Literal["predicted", "ground_truth"] = "predicted"
    """The box the target is cut from: the decoded prediction (official code) or the ground truth."""


class NoMaskConfig(Config):
    """No masks: the detector learns boxes and classes alone (`yolact/models/masks/no_masks.py`)."""

    kind: Literal["none"] = "none"


class CustomMaskConfig(Config):
    """A mask branch of the user's own, imported where the network is built."""

    kind: ImportPath
    """Import path "package.module:Name" of its class."""
    options: Options
    """Keyword arguments of that class."""


MaskBranchConfig = Annotated[
    Annotated[PrototypeConfig, Tag("prototypes")]
    | Annotated[FCMaskConfig, Tag("fc_mask")]
    | Annotated[NoMaskConfig, Tag("none")]
    | Annotated[CustomMaskConfig, Tag(CUSTOM)],
    Discriminator(kind_of),
]


class MatchingConfig(Config):
    """Which anchors are positive (`yolact/ops/assignment.py`)."""

    positive_iou: Fraction = 0.5
    """At or above: positive."""
    negative_iou: Fraction = 0.4
    """Below: background. Between the two: neutral, no class loss."""
    crowd_iou: Fraction = 0.7
    """A non-positive anchor covered by a crowd box by more than this fraction of its own area is neutral."""

    @model_validator(mode="after")
    def _ordered(self) -> MatchingConfig:
        if self.negative_iou > self.positive_iou:
            raise ValueError(f"negative_iou {self.negative_iou} is above positive_iou {self.positive_iou}")
        return self


class LossConfig(Config):
    """Weights of the detector's loss terms (`yolact/models/one_stage/losses.py`); the mask term's weight belongs to its
    branch."""

    box: Annotated[float, Field(ge=0)] = 1.5
    classification: Annotated[float, Field(ge=0)] = 1.0
    semantic: Annotated[float, Field(ge=0)] = 1.0
    """0 leaves the semantic-segmentation branch out of the network."""
    negatives_per_positive: Annotated[float, Field(ge=0)] = 3
    """Online hard example mining keeps this many background anchors per positive, per image."""


class YolactConfig(Config):
    """A YOLACT network (`yolact/models/one_stage/model.py`)."""

    kind: Literal["yolact"] = "yolact"
    image_size: Positive = 550
    """Side of the square input in pixels; images are squashed to it, as the official code does."""
    pixels: Literal["imagenet", "unit"] = "imagenet"
    """Input normalisation: "imagenet" subtracts (123.68, 116.78, 103.94) and divides by (58.40, 57.12, 57.38) RGB,
    "unit" divides by 255 (DarkNet)."""
    padding: Padding = "zeros"
    """Of every convolution (`yolact/models/padding.py`). The paper's networks pad with zeros, and so know where the border
    is."""
    backbone: BackboneConfig = BackboneConfig()
    fpn: FPNConfig = FPNConfig()
    anchors: AnchorConfig = AnchorConfig()
    head: HeadConfig = HeadConfig()
    mask_branch: MaskBranchConfig = PrototypeConfig()
    matching: MatchingConfig = MatchingConfig()
    loss: LossConfig = LossConfig()

    @property
    def trains_batch_norm(self) -> bool:
        """Whether batch norm normalises by the batch while the network is trained."""
        return not self.backbone.freeze_bn

    @model_validator(mode="after")
    def _consistent(self) -> YolactConfig:
        levels = 3 + self.fpn.extra_levels
        if len(self.anchors.scales) != levels:
            raise ValueError(f"anchors.scales lists {len(self.anchors.scales)} levels, the pyramid has {levels}")
        if isinstance(self.mask_branch, PrototypeConfig) and self.mask_branch.source >= 3 + levels:
            raise ValueError(f"mask_branch.source P{self.mask_branch.source} is above the pyramid's P{2 + levels}")
        return self


class MaskRCNNConfig(Config):
    """torchvision's Mask R-CNN, the two-stage comparison (`yolact/models/two_stage/mask_rcnn.py`)."""

    kind: Literal["mask_rcnn"] = "mask_rcnn"
    image_size: Positive = 550
    """Side of the square input in pixels, as for YOLACT, so that both see the same images."""
    backbone: BackboneConfig = BackboneConfig()
    channels: Positive = 256
    """Channels of the feature pyramid."""
    representation: Positive = 1024
    """Units of the box head's two fully connected layers."""
    regions_per_image: Positive = 512
    """Regions that the box head learns from, per image; at most a quarter of them hold objects and teach the mask head."""
    anchor_sizes: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=3)] = (32, 64, 128, 256, 512)
    """Side of the RPN's anchors in input pixels, one per level from P3 upwards; levels above P5 are pooled."""

    @property
    def trains_batch_norm(self) -> bool:
        """Whether batch norm normalises by the batch while the network is trained."""
        return not self.backbone.freeze_bn


class CustomModelConfig(Config):
    """A network of the user's own, imported where it is built."""

    kind: ImportPath
    """Import path "package.module:Name" of its class, a `yolact.models.base.Model`."""
    image_size: Positive = 550
    """Side of the square input in pixels."""
    options: Options
    """Keyword arguments of that class."""

    @property
    def trains_batch_norm(self) -> bool:
        """True: what the class does is unknown."""
        return True


ModelConfig = Annotated[
    Annotated[YolactConfig, Tag("yolact")]
    | Annotated[MaskRCNNConfig, Tag("mask_rcnn")]
    | Annotated[CustomModelConfig, Tag(CUSTOM)],
    Discriminator(kind_of),
]
