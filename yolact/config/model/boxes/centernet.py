"""CenterNet: neck, head, targets, loss. Lengths are in pixels of the network's map, of stride 4."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from yolact.config.base import Config
from yolact.config.fields import Fraction, Positive
from yolact.config.mask_branch import MaskBranchConfig, NoMaskConfig
from yolact.config.model.base import AnyDetectorConfig, refuse_masks
from yolact.config.model.parts import BackboneConfig, ImageSize


class UpsamplerConfig(Config):
    """From C5 to one map of stride 4 (`yolact/models/necks/upsampler.py`)."""

    widths: tuple[Positive, Positive, Positive] = (256, 128, 64)
    """Channels at strides 16, 8, 4."""
    deformable: bool = True
    """The 3x3 convolution before each upsampling is deformable and modulated (DCNv2)."""


class CenterHeadConfig(Config):
    """CenterNet's heads of centres, offsets and sizes (`yolact/models/one_stage/heads/centernet_head.py`)."""

    channels: Positive = 64
    """Of the hidden layer of each."""


class CenterMatchingConfig(Config):
    """Where heat is learned (`yolact/models/one_stage/heads/centernet_targets.py`)."""

    overlap: Annotated[float, Field(gt=0, lt=1)] = 0.7
    """The radius of a centre's heat is such that corners moved by it leave this IoU. mmdetection: 0.3."""
    official_radius: bool = True
    """Official quirk, from CornerNet: the three quadratic equations of the radius are solved as if each began with x squared,
    which gives larger radii. False solves them."""
    max_objects: Positive = 128
    """Of an image, only so many objects are learned, the first ones."""


class CenterLossConfig(Config):
    """Weights of CenterNet's loss terms (`yolact/models/one_stage/heads/centernet_head.py`)."""

    heat: Annotated[float, Field(ge=0)] = 1.0
    offset: Annotated[float, Field(ge=0)] = 1.0
    size: Annotated[float, Field(ge=0)] = 0.1
    alpha: Annotated[float, Field(ge=0)] = 2.0
    """Exponent of the probability missed in the heat loss."""
    beta: Annotated[float, Field(ge=0)] = 4.0
    """Exponent by which cells near a centre weigh less."""
    clamp: Annotated[Fraction, Field(lt=0.5)] = 1e-4
    """Probabilities closer than this to 0 or 1 count as this close."""


class CenterNetConfig(AnyDetectorConfig):
    """CenterNet, "Objects as Points": peaks of a heat map per class (`yolact/models/one_stage/heads/centernet_head.py`).

    Defaults are the official code's ResDCN. Crowds are background; the official code learns them as objects. Boxes only: mask
    branches stand on a pyramid from stride 8 upwards, of which this detector has none.
    """

    inference_defaults = {"suppression": "none", "score_threshold": 0.0}  # noqa: RUF012 - a class variable of the base

    kind: Literal["centernet"] = "centernet"
    image_size: ImageSize = 512
    pixels: Literal["imagenet", "unit", "coco"] = "coco"
    backbone: BackboneConfig = BackboneConfig(name="resnet18")
    neck: UpsamplerConfig = UpsamplerConfig()
    head: CenterHeadConfig = CenterHeadConfig()
    mask_branch: MaskBranchConfig = NoMaskConfig()
    matching: CenterMatchingConfig = CenterMatchingConfig()
    loss: CenterLossConfig = CenterLossConfig()

    @property
    def trains_batch_norm(self) -> bool:
        return True

    @model_validator(mode="after")
    def _boxes_only(self) -> CenterNetConfig:
        refuse_masks(self.mask_branch, "which has one map of stride 4 in the place of a pyramid")
        return self
