"""FCOS: matching of points, head, loss. Lengths are in pixels of the network's input."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from yolact.config.base import Config, at_odds
from yolact.config.fields import Fraction, Positive, ScalesWith, Side
from yolact.config.mask_branch import MaskBranchConfig, NoMaskConfig
from yolact.config.model.base import DetectorConfig, check_source
from yolact.config.model.parts import FPNConfig, SemanticFormConfig


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
    """FCOS's prediction head, shared by all levels (`yolact/models/one_stage/heads/fcos_head.py`)."""

    convs: Annotated[int, Field(ge=0)] = 4
    """3x3 convolutions, each with GroupNorm and ReLU, of the class tower and of the box tower."""
    shared_convs: Annotated[int, Field(ge=0)] = Field(default=0, exclude_if=lambda count: not count)
    """Such convolutions before the towers part; BlendMask's fast models have 3, and none in the towers."""
    groups: Positive = 32
    """Groups of GroupNorm; on a level of one cell, fewer than 8 channels per group leave next to nothing of the values."""
    scale_per_level: bool = True
    """Multiply box distances by a learned number per level."""
    quality_on: Literal["box", "classification"] = "box"
    """Tower that centerness is predicted on; the first version of the paper used the class tower."""
    class_threshold: Fraction = 0.0
    """Class probabilities not above this score 0, before centerness is multiplied in. FCOS itself: 0.05."""


class PointLossConfig(SemanticFormConfig):
    """Weights of FCOS's loss terms (`yolact/models/one_stage/heads/fcos_head.py`)."""

    box: Annotated[float, Field(ge=0)] = 1.0
    classification: Annotated[float, Field(ge=0)] = 1.0
    centerness: Annotated[float, Field(ge=0)] = 1.0
    semantic: Annotated[float, Field(ge=0)] = 0.0
    """Of semantic segmentation on P3; 0 leaves it out of the network."""
    alpha: Fraction = 0.25
    """Focal loss: weight of positives against negatives."""
    gamma: Annotated[float, Field(ge=0)] = 2.0
    """Focal loss: exponent that makes easy examples weigh less."""
    box_weighting: Literal["centerness", "none"] = "centerness"
    """What a positive's box loss is weighted by; the divisor is the sum of the weights."""
    iou_offset: Annotated[float, Field(ge=0)] = 1.0
    """Added to intersection and union in the box loss, in strides squared. Official quirk: 1; 0 is GIoU as published."""


class FCOSConfig(DetectorConfig):
    """FCOS: points instead of anchors, sigmoid classes, centerness (`yolact/models/one_stage/heads/fcos_head.py`).

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
        check_source(self.mask_branch, levels)
        return self
