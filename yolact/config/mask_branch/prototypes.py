"""YOLACT's mask branch: linear combinations of prototypes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from yolact.config.base import Config
from yolact.config.fields import Positive


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
