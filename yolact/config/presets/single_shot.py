"""One-stage detectors on anchors of several sizes and ratios.

Sources: pytorch/vision `references/detection/README.md` (RetinaNet, SSD); chengyangfu/retinamask `configs/retina`.
"""

from __future__ import annotations

from yolact.config.inference import InferenceConfig
from yolact.config.mask_branch import RoIMaskConfig
from yolact.config.model import RetinaNetConfig, SSDConfig
from yolact.config.model.parts import BackboneConfig
from yolact.config.model.retinanet import OctaveAnchorConfig, RetinaNetLossConfig
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
# 120 epochs of 3665 iterations, with SSD's augmentations
_SSD_TRAINING = TrainingConfig(
    iterations=439_800,
    batch_size=32,
    lr=0.002,
    weight_decay=5e-4,
    warmup_iterations=1000,
    warmup_lr=2e-6,
    milestones=(80 / 120, 110 / 120),
)

_RETINAMASK = RetinaNetConfig(
    image_size=800,
    backbone=BackboneConfig(name="resnet50", freeze_bn=True),
    anchors=OctaveAnchorConfig(whole_pixels=False, place=0.5),
    variances=(0.1, 0.2),
    mask_branch=RoIMaskConfig(),
    loss=RetinaNetLossConfig(distance="self_adjusting", divisor="retinamask"),
)
# 2x with images of 640 to 1000 pixels on their short side, 800 in tests. The official code trains biases at twice the rate and
# without decay, keeps the backbone's stem and first stage as loaded, and with masks on returns the 50 best detections.
_RETINAMASK_TRAINING = TrainingConfig(
    iterations=360_000,
    batch_size=8,
    lr=0.005,
    weight_decay=1e-4,
    warmup_iterations=500,
    warmup_lr=0.005 / 3,
    milestones=(2 / 3, 8 / 9),
    augmentation=AugmentationConfig(photometric=False, expand=False, crop=False),
)
_RETINAMASK_INFERENCE = InferenceConfig(**RetinaNetConfig.inference_defaults, nms_iou=0.4, max_detections=50)

PRESETS = (
    Preset(
        "retinanet_resnet50",
        "torchvision's RetinaNet, ResNet-50, 800 x 800: boxes only",
        RetinaNetConfig(image_size=800, backbone=BackboneConfig(name="resnet50", freeze_bn=True)),
        _RETINANET_TRAINING,
        InferenceConfig(**RetinaNetConfig.inference_defaults, max_detections=300),
        COCO_CLASSES,
    ),
    Preset(
        "ssd300",
        "torchvision's SSD300 on ResNet-50 instead of VGG-16: boxes only",
        SSDConfig(backbone=BackboneConfig(name="resnet50")),
        _SSD_TRAINING,
        InferenceConfig(**SSDConfig.inference_defaults),
        COCO_CLASSES,
    ),
    Preset(
        "retinamask_resnet50",
        "RetinaMask, ResNet-50, 800 x 800, 2x",
        _RETINAMASK,
        _RETINAMASK_TRAINING,
        _RETINAMASK_INFERENCE,
        COCO_CLASSES,
    ),
    Preset(
        "retinamask_resnet101",
        "RetinaMask, ResNet-101, 800 x 800, 2x",
        _RETINAMASK.replace(backbone=BackboneConfig(freeze_bn=True)),
        _RETINAMASK_TRAINING.replace(iterations=720_000, batch_size=4, lr=0.0025, warmup_lr=0.0025 / 3),
        _RETINAMASK_INFERENCE,
        COCO_CLASSES,
    ),
)
