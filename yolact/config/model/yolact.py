"""YOLACT: anchors, head, matching, loss. Lengths are in pixels of the network's input."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from yolact.config.base import Config, at_odds
from yolact.config.fields import Fraction, ScalesWith, Side
from yolact.config.mask_branch import MaskBranchConfig, PrototypeConfig
from yolact.config.model.base import DetectorConfig, check_source
from yolact.config.model.parts import SemanticFormConfig


class AnchorConfig(Config):
    """Prior boxes (`yolact/ops/anchors.py`)."""

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
    """The prediction head shared by all levels (`yolact/models/one_stage/heads/anchor_head.py`)."""

    shared_convs: Annotated[int, Field(ge=0)] = 1
    """3x3 convolutions with ReLU before the box, class and mask convolutions part."""


class MatchingConfig(Config):
    """Which anchors are positive (`yolact/ops/matching.py`)."""

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


class LossConfig(SemanticFormConfig):
    """Weights of the detector's loss terms (`yolact/models/one_stage/losses.py`); the mask term's weight belongs to its
    branch."""

    box: Annotated[float, Field(ge=0)] = 1.5
    classification: Annotated[float, Field(ge=0)] = 1.0
    semantic: Annotated[float, Field(ge=0)] = 1.0
    """Of semantic segmentation on P3; 0 leaves it out of the network."""
    negatives_per_positive: Annotated[float, Field(ge=0)] = 3
    """Online hard example mining keeps this many background anchors per positive, per image."""


class YolactConfig(DetectorConfig):
    """A YOLACT network: anchors, a shared prediction head, softmax classes (`yolact/models/one_stage/heads/anchor_head.py`)."""

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
        check_source(self.mask_branch, levels)
        return self
