"""Mask branches: how masks are made, and the loss that they are trained with."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from yolact.config.base import Config, kind_of
from yolact.config.fields import CUSTOM, ImportPath, Options, Positive


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
    options: Options = Field(default_factory=dict)
    """Keyword arguments of that class."""


MaskBranchConfig = Annotated[
    Annotated[PrototypeConfig, Tag("prototypes")]
    | Annotated[FCMaskConfig, Tag("fc_mask")]
    | Annotated[NoMaskConfig, Tag("none")]
    | Annotated[CustomMaskConfig, Tag(CUSTOM)],
    Discriminator(kind_of),
]
