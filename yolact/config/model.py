"""What a network is: every field that fixes its weights' shapes or the loss they are trained with.

Boxes and anchors are measured in pixels of the network's input, a square of `image_size`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from yolact.config.base import Config, at_odds, kind_of
from yolact.config.fields import (
    CUSTOM,
    FilePath,
    Fraction,
    HasStandIn,
    ImportPath,
    Options,
    Positive,
    ScalesWith,
    Side,
    import_path,
    kinds_in,
)
from yolact.config.mask_branch import DynamicMaskConfig, MaskBranchConfig, NoMaskConfig, PrototypeConfig

IMAGENET_MEAN = (123.68, 116.78, 103.94)
"""Mean of ImageNet's pixels, RGB in 0..255."""
IMAGENET_STD = (58.40, 57.12, 57.38)


ImageSize = Annotated[int, Field(gt=0), HasStandIn("image_sizes")]
"""Side of the square input in pixels."""
Padding = Literal["zeros", "reflect", "replicate", "circular"]
"""What stands beyond a feature map's border, where a convolution reads it."""

BACKBONES = ("resnet101", "resnet50", "resnet18", "darknet53", "mobilenet_v2", "resnet_tiny")


class BackboneConfig(Config):
    """The feature extractor (`yolact/models/backbones.py`)."""

    name: Annotated[str, HasStandIn("backbones")] = "resnet101"
    """One of BACKBONES, or the import path "package.module:function" of a builder."""
    weights: Annotated[str | None, FilePath(words=("imagenet",))] = "imagenet"
    """"imagenet" (torchvision's own weights, from its cache folder), a path to a state dict, or None (random)."""
    freeze_bn: bool = False
    """Keep batch-norm statistics and affine weights as loaded. The official code does so below 6 images per GPU."""
    width: Positive = 16
    """Channels of the first stage; read by `resnet_tiny` only."""
    options: Options = Field(default_factory=dict)
    """Keyword arguments for a builder given by import path, which gets this configuration as its first argument."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in BACKBONES and ":" not in name:
            raise ValueError(f"unknown backbone {name!r}: choose one of {', '.join(BACKBONES)}, or package.module:function")
        return import_path(name) if ":" in name else name

    @model_validator(mode="after")
    def _options_are_read(self) -> BackboneConfig:
        if self.options and ":" not in self.name:
            message = f"options {sorted(self.options)} are for a builder given by import path; {self.name} takes none"
            raise at_odds(message, "name", *(f"options.{option}" for option in self.options))
        return self


class FPNConfig(Config):
    """The feature pyramid P3..P7 (`yolact/models/necks.py`)."""

    channels: Positive = 256
    """Channels of every level."""
    extra_levels: Annotated[int, Field(ge=0, le=2)] = 2
    """Levels above P5, each a stride-2 convolution of the one below: 2 gives P6 and P7."""
    extra_from: Literal["P5", "C5"] = "P5"
    """What P6 is made of: P5 after its ReLU (official code), or the backbone's C5, as RetinaNet first had it."""
    upsample: Literal["bilinear", "nearest"] = "bilinear"
    """From a level to the finer one: bilinear (YOLACT), or nearest (the FPN paper, and FCOS)."""
    relu: bool = True
    """ReLU after the outputs P3, P4, P5 (YOLACT). Without, P7 is made of P6 after a ReLU, as RetinaNet and FCOS do."""


class AnchorConfig(Config):
    """Prior boxes (`yolact/ops/locations.py`)."""

    scales: Annotated[tuple[tuple[Side, ...], ...], ScalesWith("image_size")] = ((24,), (48,), (96,), (192,), (384,))
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
            raise at_odds(
                "anchors need at least one level, one scale per level and one aspect ratio", "scales", "aspect_ratios"
            )
        if len({len(level) for level in self.scales}) != 1:
            raise ValueError("the prediction head is shared, so every level needs the same number of scales")
        return self


class HeadConfig(Config):
    """The prediction head shared by all levels (`yolact/models/one_stage/anchor_head.py`)."""

    shared_convs: Annotated[int, Field(ge=0)] = 1
    """3x3 convolutions with ReLU before the box, class and mask convolutions part."""


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
            message = f"negative_iou {self.negative_iou} is above positive_iou {self.positive_iou}"
            raise at_odds(message, "negative_iou", "positive_iou")
        return self


class PointMatchingConfig(Config):
    """Which points are positive (`yolact/ops/points.py`)."""

    sizes_of_interest: Annotated[tuple[Side, ...], ScalesWith("image_size")] = (64, 128, 256, 512)
    """In input pixels, between a level and the next: an object is learned by the level in whose range the largest distance
    from the point to its box's sides lies. Both ends count, and the last level has no upper end."""
    radius: Side | None = 1.5
    """Half a side of the square around an object's centre in which points are positive, in strides; None takes its box."""
    centre: Literal["box", "mask"] = "box"
    """Centre of the square: the box's, or the mask's centre of mass (CondInst); that of an empty mask is its box's."""
    ignore_crowds: bool = True
    """Points in crowd boxes are neutral. The official code drops crowds, so that they are background."""

    @field_validator("sizes_of_interest")
    @classmethod
    def _ascending(cls, sizes: tuple[float, ...]) -> tuple[float, ...]:
        if list(sizes) != sorted(set(sizes)):
            raise ValueError(f"sizes_of_interest must ascend, got {list(sizes)}")
        return sizes


class PointHeadConfig(Config):
    """FCOS's prediction head, shared by all levels (`yolact/models/one_stage/point_head.py`)."""

    convs: Annotated[int, Field(ge=0)] = 4
    """3x3 convolutions, each with GroupNorm and ReLU, of the class tower and of the box tower."""
    groups: Positive = 32
    """Groups of GroupNorm; on a level of one cell, fewer than 8 channels per group leave next to nothing of the values."""
    scale_per_level: bool = True
    """Multiply box distances by a learned number per level."""
    quality_on: Literal["box", "classification"] = "box"
    """Tower that centerness is predicted on; the first version of the paper used the class tower."""
    class_threshold: Fraction = 0.0
    """Class probabilities not above this score 0, before centerness is multiplied in. FCOS itself: 0.05."""


class PointLossConfig(Config):
    """Weights of FCOS's loss terms (`yolact/models/one_stage/point_losses.py`)."""

    box: Annotated[float, Field(ge=0)] = 1.0
    classification: Annotated[float, Field(ge=0)] = 1.0
    centerness: Annotated[float, Field(ge=0)] = 1.0
    semantic: Annotated[float, Field(ge=0)] = 0.0
    """Of YOLACT's semantic-segmentation branch on P3; 0 leaves it out."""
    alpha: Fraction = 0.25
    """Focal loss: weight of positives against negatives."""
    gamma: Annotated[float, Field(ge=0)] = 2.0
    """Focal loss: exponent that makes easy examples weigh less."""
    box_weighting: Literal["centerness", "none"] = "centerness"
    """What a positive's box loss is weighted by; the divisor is the sum of the weights."""
    iou_offset: Annotated[float, Field(ge=0)] = 1.0
    """Added to intersection and union in the box loss, in strides squared. Official quirk: 1; 0 is GIoU as published."""


class LossConfig(Config):
    """Weights of the detector's loss terms (`yolact/models/one_stage/losses.py`); the mask term's weight belongs to its
    branch."""

    box: Annotated[float, Field(ge=0)] = 1.5
    classification: Annotated[float, Field(ge=0)] = 1.0
    semantic: Annotated[float, Field(ge=0)] = 1.0
    """0 leaves the semantic-segmentation branch out of the network."""
    negatives_per_positive: Annotated[float, Field(ge=0)] = 3
    """Online hard example mining keeps this many background anchors per positive, per image."""


class AnyModelConfig(Config):
    """What planning reads of every kind of network."""

    shares_forward_pass: ClassVar[bool] = False
    """Whether one forward pass serves inference settings that differ after the network only."""
    relative_cost: ClassVar[float] = 1
    """Training time relative to YOLACT's at the same image size, roughly."""
    inference_defaults: ClassVar[Mapping[str, Any]] = {}
    """Fields of `InferenceConfig` that this network needs another value of than the default."""

    @property
    def trains_batch_norm(self) -> bool:
        """Whether batch norm normalises by the batch while the network is trained; True where that is unknown."""
        return True


class DetectorConfig(AnyModelConfig):
    """What all one-stage detectors share (`yolact/models/one_stage/model.py`); each adds its head, `mask_branch` and `loss`."""

    shares_forward_pass = True

    kind: str
    image_size: ImageSize = 550
    """Side of the square input in pixels; images are squashed to it, as the official code does."""
    pixels: Literal["imagenet", "unit"] = "imagenet"
    """Input normalisation: "imagenet" subtracts (123.68, 116.78, 103.94) and divides by (58.40, 57.12, 57.38) RGB,
    "unit" divides by 255 (DarkNet)."""
    padding: Padding = "zeros"
    """Of every convolution (`yolact/models/layers/padding.py`). The paper's networks pad with zeros, which mark the border."""
    backbone: BackboneConfig = BackboneConfig()
    fpn: FPNConfig = FPNConfig()

    @property
    def trains_batch_norm(self) -> bool:
        return not self.backbone.freeze_bn or isinstance(getattr(self, "mask_branch", None), DynamicMaskConfig)


class YolactConfig(DetectorConfig):
    """A YOLACT network: anchors, a shared prediction head, softmax classes (`yolact/models/one_stage/anchor_head.py`)."""

    kind: Literal["yolact"] = "yolact"
    anchors: AnchorConfig = AnchorConfig()
    head: HeadConfig = HeadConfig()
    mask_branch: MaskBranchConfig = PrototypeConfig()
    matching: MatchingConfig = MatchingConfig()
    loss: LossConfig = LossConfig()

    @model_validator(mode="after")
    def _consistent(self) -> YolactConfig:
        levels = 3 + self.fpn.extra_levels
        if len(self.anchors.scales) != levels:
            message = f"anchors.scales lists {len(self.anchors.scales)} levels, the pyramid has {levels}"
            raise at_odds(message, "anchors.scales", "fpn.extra_levels")
        _check_source(self.mask_branch, levels)
        return self


class FCOSConfig(DetectorConfig):
    """FCOS: points instead of anchors, sigmoid classes, centerness (`yolact/models/one_stage/point_head.py`).

    With the mask branch "dynamic" it is CondInst. Defaults are the official code's, except that inputs are squares of 550
    pixels, as for the other models. The papers resize the short side to 800 (640 to 800 in training), pad to multiples of 32,
    and keep the backbone's stem and first stage as loaded.
    """

    inference_defaults = {  # noqa: RUF012 - a class variable of the base
        "suppression": "standard",
        "nms_iou": 0.6,
        "score_threshold": 0.2236,
    }

    kind: Literal["fcos"] = "fcos"
    fpn: FPNConfig = FPNConfig(upsample="nearest", relu=False)
    head: PointHeadConfig = PointHeadConfig()
    mask_branch: MaskBranchConfig = NoMaskConfig()
    matching: PointMatchingConfig = PointMatchingConfig()
    loss: PointLossConfig = PointLossConfig()

    @model_validator(mode="after")
    def _consistent(self) -> FCOSConfig:
        levels, sizes = 3 + self.fpn.extra_levels, self.matching.sizes_of_interest
        if len(sizes) != levels - 1:
            message = (
                f"matching.sizes_of_interest lists {len(sizes)} sizes, but {levels - 1} separate the pyramid's {levels} levels"
            )
            raise at_odds(message, "matching.sizes_of_interest", "fpn.extra_levels")
        if self.fpn.channels % self.head.groups:
            message = f"head.groups {self.head.groups} does not divide fpn.channels {self.fpn.channels}"
            raise at_odds(message, "head.groups", "fpn.channels")
        _check_source(self.mask_branch, levels)
        return self


def _check_source(branch: MaskBranchConfig, levels: int) -> None:
    if isinstance(branch, PrototypeConfig) and branch.source >= 3 + levels:
        message = f"mask_branch.source P{branch.source} is above the pyramid's P{2 + levels}"
        raise at_odds(message, "mask_branch.source", "fpn.extra_levels")


class MaskRCNNConfig(AnyModelConfig):
    """torchvision's Mask R-CNN, the two-stage comparison (`yolact/models/two_stage/mask_rcnn.py`).

    It suppresses in the middle of its network, so that inference settings share no forward pass.
    """

    relative_cost = 10
    inference_defaults = {"suppression": "standard"}  # noqa: RUF012 - a class variable of the base

    kind: Literal["mask_rcnn"] = "mask_rcnn"
    image_size: ImageSize = 550
    """Side of the square input in pixels, as for YOLACT, so that both see the same images."""
    backbone: BackboneConfig = BackboneConfig()
    channels: Positive = 256
    """Channels of the feature pyramid."""
    representation: Positive = 1024
    """Units of the box head's two fully connected layers."""
    regions_per_image: Positive = 512
    """Regions that the box head learns from, per image; at most a quarter of them hold objects and teach the mask head."""
    anchor_sizes: Annotated[tuple[Side, ...], Field(min_length=3), ScalesWith("image_size")] = (32, 64, 128, 256, 512)
    """Side of the RPN's anchors in input pixels, one per level from P3 upwards; levels above P5 are pooled."""

    @property
    def trains_batch_norm(self) -> bool:
        return not self.backbone.freeze_bn


class CustomModelConfig(AnyModelConfig):
    """A network of the user's own, imported where it is built."""

    kind: ImportPath
    """Import path "package.module:Name" of its class, a `yolact.models.base.Model`."""
    image_size: ImageSize = 550
    """Side of the square input in pixels."""
    options: Options = Field(default_factory=dict)
    """Keyword arguments of that class."""


OneStageConfig = YolactConfig | FCOSConfig
"""The one-stage detectors."""

ModelConfig = Annotated[
    Annotated[YolactConfig, Tag("yolact")]
    | Annotated[FCOSConfig, Tag("fcos")]
    | Annotated[MaskRCNNConfig, Tag("mask_rcnn")]
    | Annotated[CustomModelConfig, Tag(CUSTOM)],
    Discriminator(kind_of),
]


def model_class(kind: str) -> type[AnyModelConfig]:
    """The class of the models of a kind, which may be an import path."""
    return cast(type[AnyModelConfig], kinds_in(ModelConfig)[CUSTOM if ":" in kind else kind])
