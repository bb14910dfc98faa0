"""What a network is: every field that fixes its weights' shapes or the loss they are trained with.

Boxes and anchors are measured in pixels of the network's input, a square of `image_size`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import Discriminator, Field, Tag, model_validator

from yolact.config.base import Config, at_odds, kind_of
from yolact.config.fields import (
    CUSTOM,
    ImportPath,
    Options,
    Positive,
    ScalesWith,
    Side,
    kinds_in,
)
from yolact.config.mask_branch import DynamicMaskConfig, MaskBranchConfig, NoMaskConfig, PrototypeConfig
from yolact.config.model.anchors import AnchorConfig, HeadConfig, LossConfig, MatchingConfig
from yolact.config.model.parts import BackboneConfig, FPNConfig, ImageSize, Padding
from yolact.config.model.points import PointHeadConfig, PointLossConfig, PointMatchingConfig


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
    """FCOS: points instead of anchors, sigmoid classes, centerness (`yolact/models/one_stage/fcos_head.py`).

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
