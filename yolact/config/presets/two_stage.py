"""Two-stage detectors."""

from __future__ import annotations

from yolact.config.inference import InferenceConfig
from yolact.config.model import MaskRCNNConfig
from yolact.config.presets.preset import COCO_CLASSES, Preset
from yolact.config.training import TrainingConfig

PRESETS = (
    Preset(
        "mask_rcnn",
        "torchvision's Mask R-CNN at 550 x 550, ResNet-101",
        MaskRCNNConfig(),
        TrainingConfig(),
        InferenceConfig(suppression="standard"),
        COCO_CLASSES,
    ),
)
