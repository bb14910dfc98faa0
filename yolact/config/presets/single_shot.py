"""One-stage detectors on anchors of several sizes and ratios. Source: pytorch/vision `references/detection/README.md`."""

from __future__ import annotations

from yolact.config.inference import InferenceConfig
from yolact.config.model import RetinaNetConfig
from yolact.config.model.parts import BackboneConfig
from yolact.config.presets.preset import COCO_CLASSES, Preset
from yolact.config.training import AugmentationConfig, TrainingConfig

# 26 epochs of 7330 iterations. torchvision keeps the shape of images and resizes their short side, to 800 pixels in tests.
_RETINANET_TRAINING = TrainingConfig(
    iterations=190_580,
    batch_size=16,
    lr=0.01,
    weight_decay=1e-4,
    warmup_iterations=1000,
    warmup_lr=1e-5,
    milestones=(16 / 26, 22 / 26),
    augmentation=AugmentationConfig(photometric=False, expand=False, crop=False),
)

PRESETS = (
    Preset(
        "retinanet_resnet50",
        "torchvision's RetinaNet, ResNet-50, 800 x 800: boxes only",
        RetinaNetConfig(image_size=800, backbone=BackboneConfig(name="resnet50", freeze_bn=True)),
        _RETINANET_TRAINING,
        InferenceConfig(**RetinaNetConfig.inference_defaults, max_detections=300),
        COCO_CLASSES,
    ),
)
