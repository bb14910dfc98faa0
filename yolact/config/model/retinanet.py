"""RetinaNet: anchors, matching, head, loss. Lengths are in pixels of the network's input."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from yolact.config.base import Config, at_odds
from yolact.config.fields import Fraction, Positive, ScalesWith, Side
from yolact.config.mask_branch import MaskBranchConfig, NoMaskConfig
from yolact.config.model.base import DetectorConfig, check_source
from yolact.config.model.parts import FPNConfig
from yolact.config.model.yolact import MatchingConfig


class OctaveAnchorConfig(Config):
    """RetinaNet's prior boxes (`yolact/ops/anchors.py`). Defaults are torchvision's."""

    sizes: Annotated[tuple[Side, ...], ScalesWith("image_size")] = (32, 64, 128, 256, 512)
    """Side of each level's smallest square anchor in input pixels, from P3 upwards."""
    per_octave: Positive = 3
    """Sizes on each level: the side times 2 to the power of 0/n, 1/n, ..."""
    aspect_ratios: Annotated[tuple[Side, ...], Field(min_length=1)] = (0.5, 1, 2)
    """Height divided by width."""
    whole_pixels: bool = True
    """torchvision's quirk: sides are cut to whole pixels, then corners are rounded to them."""
    place: Fraction = 0.0
    """Where in their cell anchors are centred, in strides: torchvision's quirk 0, its corner; RetinaMask 0.5, its middle."""

    @property
    def per_cell(self) -> int:
        """Anchors at each position of a level."""
        return self.per_octave * len(self.aspect_ratios)


class BestMatchConfig(MatchingConfig):
    """Which anchors are positive (`yolact/ops/matching.py`)."""

    best_match_iou: Fraction | None = 0.0
    """An object's best anchors, all that tie, are positive too if they overlap it by this IoU or more, and at all: 0 is
    torchvision's and RetinaMask's policy, null leaves it out, as RetinaNet was published. Official quirk: such an anchor learns
    the object that it overlaps most itself, which may be another."""


class TowerHeadConfig(Config):
    """RetinaNet's prediction head, shared by all levels (`yolact/models/one_stage/heads/retinanet_head.py`)."""

    convs: Annotated[int, Field(ge=0)] = 4
    """3x3 convolutions with ReLU of the class tower and of the box tower."""
    groups: Positive | None = None
    """Groups of GroupNorm after each of these, which then has no bias; null leaves GroupNorm out."""


class RetinaNetLossConfig(Config):
    """RetinaNet's loss terms (`yolact/models/one_stage/heads/retinanet_losses.py`)."""

    box: Annotated[float, Field(ge=0)] = 1.0
    classification: Annotated[float, Field(ge=0)] = 1.0
    semantic: Annotated[float, Field(ge=0)] = 0.0
    """Of YOLACT's semantic-segmentation branch on P3; 0 leaves it out."""
    alpha: Fraction = 0.25
    """Focal loss: weight of positives against negatives."""
    gamma: Annotated[float, Field(ge=0)] = 2.0
    """Focal loss: exponent that makes easy examples weigh less."""
    distance: Literal["l1", "smooth_l1", "self_adjusting"] = "l1"
    """Of box offsets: L1 (torchvision), smooth L1, or RetinaMask's self-adjusting smooth L1."""
    beta: Annotated[float, Field(gt=0)] = 0.11
    """Offsets that are off by less count by their square; the most that a self-adjusting one can be."""
    adjustment: Fraction = 0.1
    """Share of a step's statistics in those that adjust beta."""
    adjust_before_use: bool = False
    """Official quirk: true. Each micro-batch adjusts beta for its own loss, so that the split of a batch changes the result.
    Without, the whole batch adjusts it for the next step."""
    divisor: Literal["image", "positives", "retinamask"] = "image"
    """"image": each image's positives, then the number of images (torchvision). "positives": those of the batch (the paper).
    "retinamask": classes by positives plus images, boxes by four times the positives."""


class RetinaNetConfig(DetectorConfig):
    """RetinaNet: nine anchors per cell, two towers, focal loss (`yolact/models/one_stage/heads/retinanet_head.py`).

    Defaults are torchvision's, except that strides are the true 8, 16, 32, ..., where torchvision takes the input's side
    divided by the cells, which differs where strides do not divide the side. Crowds: see `matching.crowd_iou`; torchvision's
    data leaves them out, as 1 does.
    """

    inference_defaults = {"suppression": "standard", "level_top_k": 1000}  # noqa: RUF012 - a class variable of the base

    kind: Literal["retinanet"] = "retinanet"
    fpn: FPNConfig = FPNConfig(upsample="nearest", relu=False)
    anchors: OctaveAnchorConfig = OctaveAnchorConfig()
    variances: tuple[Side, Side] = (1.0, 1.0)
    """Units of the offsets of centre and size that are learned: anchor sides, natural logarithms. RetinaMask: 0.1, 0.2."""
    head: TowerHeadConfig = TowerHeadConfig()
    mask_branch: MaskBranchConfig = NoMaskConfig()
    matching: BestMatchConfig = BestMatchConfig()
    loss: RetinaNetLossConfig = RetinaNetLossConfig()

    @model_validator(mode="after")
    def _consistent(self) -> RetinaNetConfig:
        levels = 3 + self.fpn.extra_levels
        if len(self.anchors.sizes) != levels:
            message = f"anchors.sizes lists {len(self.anchors.sizes)} levels, the pyramid has {levels}"
            raise at_odds(message, "anchors.sizes", "fpn.extra_levels")
        if self.head.groups and self.fpn.channels % self.head.groups:
            message = f"head.groups {self.head.groups} does not divide fpn.channels {self.fpn.channels}"
            raise at_odds(message, "head.groups", "fpn.channels")
        check_source(self.mask_branch, levels)
        return self
