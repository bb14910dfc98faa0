"""Masks of regions: a small network on features pooled from every detected box, as Mask R-CNN's second stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from yolact.config.base import Config
from yolact.config.fields import Fraction, Positive, Side


class MaskIoUConfig(Config):
    """The head that predicts how well each mask fits its object (`yolact/models/layers/mask_iou_head.py`).

    Defaults are those of Mask Scoring R-CNN and CenterMask.
    """

    convs: Positive = 4
    """3x3 convolutions on the pooled features and the mask; the last has stride 2. CenterMask-Lite: 2."""
    channels: Positive = 256
    """Channels of these convolutions. CenterMask-Lite: 128."""
    units: Positive = 1024
    """Units of each of the two fully connected layers."""
    loss_weight: Annotated[float, Field(ge=0)] = 1.0


class RoIMaskConfig(Config):
    """Masks of regions that are pooled from the pyramid (`yolact/models/masks/roi.py`), with any dense head.

    Defaults are RetinaMask's official settings; CenterMask's are named beside them, and are those of its presets.
    """

    kind: Literal["roi"] = "roi"
    proposals: Positive = 100
    """Best detections of the current network in each image that the loss learns from, beside the objects' own boxes."""
    proposal_score_threshold: Fraction = 0.05
    """Their least score."""
    proposal_nms_iou: Fraction = 0.4
    """Their greedy NMS. CenterMask: 0.6."""
    proposal_level_top_k: Positive | None = 1000
    """Best pairs of a location and a class on each level that this NMS looks at; null takes all. CenterMask: 1000."""
    matching_iou: Fraction = 0.5
    """A detection learns the mask of the object that it overlaps most, if by at least this."""
    max_masks_per_image: Positive | None = None
    """Regions per image that enter the loss, drawn at random; None takes all. CenterMask: 128."""
    level_rule: Literal["area", "ratio"] = "area"
    """Which level a region is pooled from: by its area in pixels (FPN eq. 1, RetinaMask), or by its share of the image
    (CenterMask eq. 2)."""
    highest_level: Annotated[int, Field(ge=3, le=7)] = 5
    """Regions are pooled from P3 to this level."""
    canonical_size: Side = 224
    """Side in input pixels of the region that comes from `canonical_level`. Read by the rule "area" only."""
    canonical_level: int = 4
    """See `canonical_size`."""
    size: Positive = 14
    """Side of the pooled features in bins; masks have twice as many cells."""
    samples: Annotated[int, Field(ge=0)] = 2
    """Samples of each bin along each side; 0 takes as many as there are pixels. CenterMask: 0."""
    aligned: bool = False
    """Official quirk: False leaves pooled features half a pixel off their place. CenterMask: True."""
    convs: Annotated[int, Field(ge=0)] = 4
    """3x3 convolutions of the mask head. CenterMask-Lite: 2."""
    channels: Positive = 256
    """Channels of these convolutions. CenterMask-Lite: 128."""
    attention: bool = False
    """Weight the positions of the mask head's features by a learned map. CenterMask: True."""
    clip: Literal["boxes", "pasting", "none"] = "boxes"
    """What is cut to the image: the boxes before pooling, or where masks are pasted only. Official quirk of CenterMask:
    "pasting" squeezes a mask whose box sticks out of the image into what is left of the box."""
    pasting: Literal["padded", "centres"] = "padded"
    """How a mask is stretched over its box: with a border of one empty cell, over whole pixels (Mask R-CNN, torchvision), or
    read at each pixel's centre (detectron2, CenterMask)."""
    mask_scoring: bool = False
    """Predict the IoU of each mask; masks are then ranked by class score times IoU. CenterMask: True."""
    mask_iou: MaskIoUConfig = MaskIoUConfig()
    """Of mask scoring."""
    loss_weight: Annotated[float, Field(ge=0)] = 1.0
