"""Two-stage detectors whose regions lie on one map of stride 16: FCIS and MNC. Lengths are in pixels of the network's input."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from yolact.config.base import Config, at_odds
from yolact.config.fields import Fraction, Positive, ScalesWith, Side
from yolact.config.model.two_stage import TwoStageConfig


class ProposalConfig(Config):
    """Region proposals (`yolact/models/two_stage/single_map/proposals.py`)."""

    anchor_sizes: Annotated[tuple[Side, ...], Field(min_length=1), ScalesWith("image_size")] = (64, 128, 256, 512)
    """Sides of the square anchors in input pixels; each also comes half and twice as high as wide, of the same area."""
    channels: Positive = 512
    """Of the 3x3 convolution."""
    sampled_anchors: Positive = 256
    """Anchors that teach it, per image; at most half of them positive."""
    before_nms: Positive = 6000
    """Best boxes of an image that enter NMS."""
    nms_iou: Fraction = 0.7
    count: Positive = 300
    """Regions of an image after NMS, in training and in inference."""


class SingleMapConfig(TwoStageConfig):
    """What FCIS and MNC share (`yolact/models/two_stage/single_map/model.py`).

    The last stage of the backbone keeps stride 16: it is dilated by 2 in the place of its stride.
    """

    relative_cost = 4
    inference_defaults = {  # noqa: RUF012 - a class variable of the base
        "suppression": "standard",
        "nms_iou": 0.3,
        "score_threshold": 1e-3,
        "mask_threshold": 0.4,
    }

    proposals: ProposalConfig = ProposalConfig()


class FCISConfig(SingleMapConfig):
    """FCIS: position-sensitive maps of the inside and the outside of objects (`yolact/models/two_stage/single_map/fcis.py`).

    Defaults are those of the authors' COCO code, except for the shape and size of the input.
    """

    kind: Literal["fcis"] = "fcis"
    channels: Positive = 1024
    """Of the map that the position-sensitive maps are made of."""
    group: Positive = 7
    """Parts of a region along each side, each with maps of its own; 1 makes the maps translation-invariant."""
    bins: Positive = 21
    """Cells of a mask along each side, a multiple of `group`."""
    joint: bool = True
    """Classes are decided by the maps of the masks. Otherwise each class has a further position-sensitive map."""
    regions_per_image: Positive = 128
    """Regions that teach the maps, per image; the divisor of the box and mask losses, also where there are fewer."""
    ohem: bool = True
    """Keep the regions with the largest losses. Otherwise they are drawn, a quarter of them positive."""
    background_iou: Fraction = 0.1
    """Without `ohem`: lowest IoU with an object of the background regions drawn. The authors' Pascal code: 0.1."""
    mask_weight: Annotated[float, Field(ge=0)] = 10.0
    """Of the mask loss. The authors' code: 10; the paper weighs all terms alike."""

    @model_validator(mode="after")
    def _consistent(self) -> FCISConfig:
        if self.bins % self.group:
            message = (
                f"bins {self.bins} is no multiple of group {self.group}: each part of a region needs as many bins as another"
            )
            raise at_odds(message, "bins", "group")
        return self


class MNCConfig(SingleMapConfig):
    """MNC: boxes, then masks, then classes, each of the one before (`yolact/models/two_stage/single_map/mnc.py`).

    Defaults are those of the authors' code, except for the input, and for the head: VGG-16's layers of 4096 units on 512
    channels are layers of 1024 units on 256.
    """

    kind: Literal["mnc"] = "mnc"
    channels: Positive = 256
    """Of the map that regions are warped from."""
    pooled: Positive = 14
    """Cells of a warped region along each side; half as many for the classes."""
    oversampling: Positive = 2
    """Samples of a cell along each side, the largest of which counts."""
    mask_units: Positive = 256
    """Of the mask head's hidden layer."""
    mask_side: Positive = 21
    """Cells of a mask along each side."""
    representation: Positive = 1024
    """Units of each of the two layers of the two branches that decide the class."""
    stages: Literal[3, 5] = 5
    """5 moves the boxes, and decides masks and classes again, with the same weights."""
    regions_per_image: Positive = 64
    """Regions that teach the first masks and classes, per image."""
    box_gradient: bool = True
    """Losses of later stages reach the boxes that they read; otherwise boxes are constants to them."""
    largest_box_gradient: Annotated[float, Field(gt=0)] | None = 1 / 512
    """What the gradient of one image's loss by each coordinate, in units of the box's side, is clipped to; None leaves it as it
    is, and lets later losses drive proposals off their objects. fp16 scales the loss before this."""
    mask_weight: Annotated[float, Field(ge=0)] = 2.0
    """Of the mask losses."""

    @field_validator("pooled")
    @classmethod
    def _even(cls, pooled: int) -> int:
        if pooled % 2:
            raise ValueError(f"pooled must be even, as classes read its cells pooled two by two, got {pooled}")
        return pooled
