"""Two-stage detectors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from yolact.config.fields import Positive, ScalesWith, Side
from yolact.config.model.base import AnyModelConfig
from yolact.config.model.parts import BackboneConfig, ImageSize


class MaskRCNNConfig(AnyModelConfig):
    """torchvision's Mask R-CNN, the two-stage comparison (`yolact/models/two_stage/mask_rcnn.py`).

    It suppresses in the middle of its network, so that inference settings share no forward pass.
    """

    relative_cost = 10
    inference_defaults = {"suppression": "standard"}  # noqa: RUF012 - a class variable of the base

    kind: Literal["mask_rcnn"] = "mask_rcnn"
    image_size: ImageSize = 550
    """Side of the square input in pixels, as for YOLACT, so that both see the same images."""
    backbone: BackboneConfig = BackboneConfig()
    channels: Positive = 256
    """Channels of the feature pyramid."""
    representation: Positive = 1024
    """Units of the box head's two fully connected layers."""
    regions_per_image: Positive = 512
    """Regions that the box head learns from, per image; at most a quarter of them hold objects and teach the mask head."""
    anchor_sizes: Annotated[tuple[Side, ...], Field(min_length=3), ScalesWith("image_size")] = (32, 64, 128, 256, 512)
    """Side of the RPN's anchors in input pixels, one per level from P3 upwards; levels above P5 are pooled."""

    @property
    def trains_batch_norm(self) -> bool:
        return not self.backbone.freeze_bn
