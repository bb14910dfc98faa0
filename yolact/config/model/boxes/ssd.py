"""SSD: neck, default boxes, loss. Lengths are in pixels of the network's input, unless they are fractions of its side."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from yolact.config.base import Config, at_odds
from yolact.config.fields import Positive, ScalesWith, Side
from yolact.config.mask_branch import MaskBranchConfig, NoMaskConfig
from yolact.config.model.base import AnyDetectorConfig, refuse_masks
from yolact.config.model.parts import ImageSize
from yolact.config.model.yolact import MatchingConfig


class SSDNeckConfig(Config):
    """SSD's levels (`yolact/models/necks/ssd.py`)."""

    widths: Annotated[tuple[Positive, ...], Field(min_length=3)] = (512, 1024, 512, 256, 256, 256)
    """Channels of the levels on C3, C4, C5, which a 1x1 convolution each brings them to, and of the further ones."""
    strides: tuple[Literal[1, 2], ...] = (2, 1, 1)
    """Of the 3x3 convolutions that make the further ones: 2 halves, rounding up; 1 pads nothing and takes two cells."""
    scale: Side | None = 20.0
    """Every cell of the finest level is divided by its L2 norm, and each channel multiplied by a learned number that starts
    here; null leaves the level as it is."""


class DefaultBoxConfig(Config):
    """SSD's prior boxes (`yolact/ops/anchors.py`)."""

    scales: tuple[Side, ...] = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)
    """Sides as fractions of the input's, one per level and one more: a level has squares of its own and of the geometric mean
    of its own and the next."""
    aspect_ratios: tuple[tuple[Side, ...], ...] = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
    """Per level: for each ratio, a box of the level's own scale that is so much wider than high, and one the other way."""
    strides: Annotated[tuple[Side, ...], ScalesWith("image_size")] = (8, 16, 32, 64, 100, 300)
    """Distances of the boxes' centres per level, in input pixels; the first are half of it from the border."""

    @property
    def per_cell(self) -> tuple[int, ...]:
        """Boxes at each position of each level."""
        return tuple(2 + 2 * len(ratios) for ratios in self.aspect_ratios)

    @model_validator(mode="after")
    def _equal_levels(self) -> DefaultBoxConfig:
        counts = len(self.scales) - 1, len(self.aspect_ratios), len(self.strides)
        if len(set(counts)) != 1:
            message = f"scales are of {counts[0]} levels (and one more), aspect_ratios of {counts[1]}, strides of {counts[2]}"
            raise at_odds(message, "scales", "aspect_ratios", "strides")
        return self


class SSDLossConfig(Config):
    """Weights of SSD's loss terms (`yolact/models/one_stage/losses.py`)."""

    box: Annotated[float, Field(ge=0)] = 1.0
    classification: Annotated[float, Field(ge=0)] = 1.0
    negatives_per_positive: Annotated[float, Field(ge=0)] = 3
    """Hard example mining keeps this many background boxes per positive, per image."""


class SSDConfig(AnyDetectorConfig):
    """SSD: default boxes on six levels, a convolution for each, softmax (`yolact/models/one_stage/heads/ssd_head.py`).

    Defaults are torchvision's SSD300 on one of our backbones: VGG-16, which would serve this model alone, is left out. C3, C4,
    C5 take the places of conv4_3, fc7 and conv8_2, at the same strides. Boxes only: levels differ in their number of channels.
    """

    inference_defaults = {  # noqa: RUF012 - a class variable of the base
        "suppression": "standard",
        "nms_iou": 0.45,
        "score_threshold": 0.01,
        "max_detections": 200,
    }

    kind: Literal["ssd"] = "ssd"
    image_size: ImageSize = 300
    neck: SSDNeckConfig = SSDNeckConfig()
    anchors: DefaultBoxConfig = DefaultBoxConfig()
    mask_branch: MaskBranchConfig = NoMaskConfig()
    matching: MatchingConfig = MatchingConfig(negative_iou=0.5)
    """An object's best box is positive too, whatever their IoU, and learns that object; of several the last one."""
    loss: SSDLossConfig = SSDLossConfig()

    @model_validator(mode="after")
    def _consistent(self) -> SSDConfig:
        levels = 3 + len(self.neck.strides)
        if len(self.neck.widths) != levels:
            message = f"neck.widths lists {len(self.neck.widths)} levels, neck.strides gives {levels}"
            raise at_odds(message, "neck.widths", "neck.strides")
        if len(self.anchors.strides) != levels:
            message = f"anchors.strides lists {len(self.anchors.strides)} levels, the neck has {levels}"
            raise at_odds(message, "anchors.strides", "neck.strides")
        refuse_masks(self.mask_branch, "whose levels have different numbers of channels")
        return self
