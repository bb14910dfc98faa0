"""SOLO, decoupled SOLO, SOLOv2: masks by location, without boxes. Lengths are in pixels of the network's input."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from yolact.config.base import Config, at_odds
from yolact.config.fields import Fraction, Positive, ScalesWith, Side
from yolact.config.model.base import AnyModelConfig
from yolact.config.model.parts import BackboneConfig, ImageSize

Prior = Annotated[float, Field(gt=0, lt=1)]


class CellMatchingConfig(Config):
    """Which cells are positive (`yolact/models/box_free/solo/targets.py`)."""

    grids: Annotated[tuple[Positive, ...], Field(min_length=5, max_length=5)] = (40, 36, 24, 16, 12)
    """Cells per side on P2 to P6."""
    scale_ranges: Annotated[tuple[tuple[Side, Side], ...], Field(min_length=5, max_length=5), ScalesWith("image_size")] = (
        (1, 66),
        (33, 132),
        (66, 264),
        (132, 528),
        (264, 2048),
    )
    """Least and largest size of the objects that P2 to P6 learn, in input pixels; both count. An object's size is the root of
    its box's area. The official 96, 48, ... are for a short side of 800."""
    centre_region: Annotated[float, Field(gt=0)] = 0.2
    """Part of a box's sides around the mask's centre of mass in which cells are positive; never more than 3 x 3 of them."""


class CellHeadConfig(Config):
    """The towers of categories and of masks or kernels (`yolact/models/box_free/solo/towers.py`)."""

    convs: Positive = 7
    """3x3 convolutions of each tower, each with GroupNorm and ReLU."""
    width: Positive = 256
    """Their channels."""
    groups: Positive = 32
    """Groups of GroupNorm."""
    coordinates: bool = True
    """CoordConv: the position of each pixel is input beside the features, to the tower of masks or kernels."""


class CellLossConfig(Config):
    """Weights of SOLO's loss terms (`yolact/models/box_free/solo/model.py`)."""

    mask: Annotated[float, Field(ge=0)] = 3.0
    classification: Annotated[float, Field(ge=0)] = 1.0
    alpha: Fraction = 0.25
    """Focal loss: weight of positives against negatives."""
    gamma: Annotated[float, Field(ge=0)] = 2.0
    """Focal loss: exponent that makes easy examples weigh less."""
    shared_cells: Literal["last", "all"] = "last"
    """A cell that two objects claim learns the mask of the last, or both. Official quirk of SOLOv2: "all". Its category is the
    last one's."""
    mask_divisor: Literal["masks", "cells"] = "masks"
    """Divides the mask loss: learned masks, or positive cells, of which there are fewer where cells are shared. mmdetection:
    "cells"."""


class MaskFeaturesConfig(Config):
    """The mask features that all kernels of SOLOv2 are applied to (`yolact/models/box_free/solo/dynamic.py`)."""

    features: Positive = 256
    """Their number E, and that of a kernel's weights."""
    channels: Positive = 128
    """Channels inside the branch that makes them."""
    groups: Positive = 32
    """Groups of its GroupNorms."""
    coordinates: bool = True
    """CoordConv on P5."""


class CellConfig(AnyModelConfig):
    """What SOLO's variants share (`yolact/models/box_free/solo/model.py`).

    Defaults are the official code's, with lengths for inputs of 550 pixels, as the other models have. The papers resize the
    short side to 800, and keep the backbone's stem and first stage as loaded.
    """

    shares_forward_pass = True
    relative_cost: ClassVar[float] = 2
    inference_defaults = {  # noqa: RUF012 - a class variable of the base
        "suppression": "matrix",
        "score_threshold": 0.1,
        "pre_nms_top_k": 500,
        "crop": False,
    }

    kind: str
    image_size: ImageSize = 550
    """Side of the square input in pixels. At multiples of 32 every level has exactly half the side of the finer one."""
    backbone: BackboneConfig = BackboneConfig()
    channels: Positive = 256
    """Channels of the feature pyramid, P2 to P6."""
    head: CellHeadConfig = CellHeadConfig()
    matching: CellMatchingConfig = CellMatchingConfig()
    loss: CellLossConfig = CellLossConfig()

    @property
    def trains_batch_norm(self) -> bool:
        return not self.backbone.freeze_bn

    @model_validator(mode="after")
    def _groups_divide(self) -> CellConfig:
        if self.head.width % self.head.groups:
            message = f"head.groups {self.head.groups} does not divide head.width {self.head.width}"
            raise at_odds(message, "head.groups", "head.width")
        return self


class SoloConfig(CellConfig):
    """SOLO: a mask channel per cell (`yolact/models/box_free/solo/static.py`)."""

    kind: Literal["solo"] = "solo"
    mask_prior: Prior = 0.01
    """Probability of every pixel of a mask before training."""


class DecoupledSoloConfig(CellConfig):
    """Decoupled SOLO: a mask is the product of its column's map and its row's (`yolact/models/box_free/solo/decoupled.py`)."""

    kind: Literal["decoupled_solo"] = "decoupled_solo"
    mask_prior: Prior = 0.01
    """Probability of every pixel of a column's or a row's map before training; that of a mask is its square."""
    towers: Literal[1, 2] = 2
    """A tower for columns and one for rows, each with the coordinate it needs; or one for both, as the light version has it."""


class Solov2Config(CellConfig):
    """SOLOv2: a kernel per cell, applied to features of the whole image (`yolact/models/box_free/solo/dynamic.py`)."""

    relative_cost = 1.5

    kind: Literal["solov2"] = "solov2"
    head: CellHeadConfig = CellHeadConfig(convs=4, width=512)
    mask_features: MaskFeaturesConfig = MaskFeaturesConfig()
    loss: CellLossConfig = CellLossConfig(shared_cells="all")

    @model_validator(mode="after")
    def _feature_groups_divide(self) -> Solov2Config:
        for name in ("channels", "features"):
            count = getattr(self.mask_features, name)
            if count % self.mask_features.groups:
                message = f"mask_features.groups {self.mask_features.groups} does not divide mask_features.{name} {count}"
                raise at_odds(message, "mask_features.groups", f"mask_features.{name}")
        return self
