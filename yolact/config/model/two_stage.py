"""Two-stage detectors: what all share, and R-CNNs on a feature pyramid."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from yolact.config.base import at_odds
from yolact.config.fields import Positive, ScalesWith, Side
from yolact.config.model.base import AnyModelConfig
from yolact.config.model.parts import BackboneConfig, ImageSize


class TwoStageConfig(AnyModelConfig):
    """What all two-stage detectors share (`yolact/models/two_stage/base.py`).

    They suppress in the middle of the network, so that inference settings share no forward pass.
    """

    relative_cost = 10
    inference_defaults = {"suppression": "standard"}  # noqa: RUF012 - a class variable of the base

    kind: str
    image_size: ImageSize = 550
    """Side of the square input in pixels, as for YOLACT, so that both see the same images."""
    backbone: BackboneConfig = BackboneConfig()

    @property
    def trains_batch_norm(self) -> bool:
        return not self.backbone.freeze_bn


class RCNNConfig(TwoStageConfig):
    """What Faster R-CNN shares with those that add masks to it."""

    channels: Positive = 256
    """Channels of the feature pyramid."""
    representation: Positive = 1024
    """Units of the box head's two fully connected layers."""
    regions_per_image: Positive = 512
    """Regions that the box head learns from, per image; at most a quarter of them hold objects and teach the mask head."""
    anchor_sizes: Annotated[tuple[Side, ...], Field(min_length=3), ScalesWith("image_size")] = (32, 64, 128, 256, 512)
    """Side of the RPN's anchors in input pixels, one per level from the finest upwards; levels above P5 are pooled."""
    finest_level: Literal[2, 3] = Field(default=3, exclude_if=lambda level: level == 3)
    """The pyramid's first level: P3, as for YOLACT, or P2, as these detectors were published."""

    @model_validator(mode="after")
    def _size_per_level(self) -> RCNNConfig:
        sizes, levels = len(self.anchor_sizes), len(self.backbone_levels)
        if sizes < levels:
            message = f"anchor_sizes lists {sizes} sizes, but each of the {levels} levels up to P5 needs one"
            raise at_odds(message, "anchor_sizes", "finest_level")
        return self

    @property
    def backbone_levels(self) -> tuple[str, ...]:
        """Pyramid levels that stand on the backbone, and that regions are pooled from."""
        return tuple(f"P{number}" for number in range(self.finest_level, 6))


class FasterRCNNConfig(RCNNConfig):
    """torchvision's Faster R-CNN: boxes alone (`yolact/models/two_stage/faster_rcnn.py`)."""

    kind: Literal["faster_rcnn"] = "faster_rcnn"


class MaskRCNNConfig(RCNNConfig):
    """torchvision's Mask R-CNN, the two-stage comparison (`yolact/models/two_stage/mask_rcnn.py`)."""

    kind: Literal["mask_rcnn"] = "mask_rcnn"


class MSRCNNConfig(RCNNConfig):
    """Mask Scoring R-CNN: a head predicts how well each mask fits its object (`yolact/models/two_stage/ms_rcnn.py`).

    The head is as wide as pyramid and box head: `channels` and `representation`.
    """

    kind: Literal["ms_rcnn"] = "ms_rcnn"
    mask_iou: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the term that trains this head."""
