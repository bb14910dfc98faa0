"""YOLACT's mask branch: linear combinations of prototypes."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from yolact.config.base import Config
from yolact.config.fields import Positive


class RescoringConfig(Config):
    """YOLACT++'s fast mask re-scoring: a network that predicts a mask's IoU (`yolact/models/masks/rescoring.py`)."""

    channels: Annotated[tuple[Positive, ...], Field(min_length=1)] = (8, 16, 32, 64, 128)
    """Of its 3x3 convolutions of stride 2 without padding; a 1x1 convolution to the classes follows."""
    loss_weight: Annotated[float, Field(ge=0)] = 25.0
    """Of the term `mask_iou`."""
    smallest_area: Annotated[float, Field(ge=0)] = 25
    """Objects of this many prototype pixels or fewer are not learned from."""
    normalisation: Literal["positives", "mean"] = "positives"
    """The term's divisor: all positives of the batch, those not learned from included; or "mean", as the first release had it,
    those that are learned from."""

    def fits(self, side: int) -> bool:
        """Whether masks of this side are large enough for every convolution."""
        for _ in self.channels:
            side = (side - 1) // 2
        return side >= 1


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
    rescoring: RescoringConfig | None = Field(default=None, exclude_if=lambda value: value is None)
    """Mask scores of their own (YOLACT++); None ranks masks by their class scores."""

    def side(self, image_size: int) -> int:
        """Height and width of the prototypes: twice those of the source level, if every halving before it rounds up."""
        return 2 * math.ceil(image_size / 2**self.source)
