"""Detectors on points, and their masks. Source: AdelaiDet `configs/FCOS-Detection`, `configs/CondInst`, `configs/BlendMask`."""

from __future__ import annotations

from yolact.config.inference import InferenceConfig
from yolact.config.mask_branch import BlendMaskConfig, DynamicMaskConfig
from yolact.config.model import FCOSConfig
from yolact.config.model.fcos import PointHeadConfig, PointLossConfig, PointMatchingConfig
from yolact.config.model.parts import BackboneConfig, FPNConfig
from yolact.config.presets.preset import COCO_CLASSES, Preset
from yolact.config.training import AugmentationConfig, TrainingConfig

# AdelaiDet's 1x: 90,000 iterations of 16 images. Its inputs keep the image's shape and have a short side of 640 to 800 pixels.
_SHORT = TrainingConfig(
    iterations=90_000,
    batch_size=16,
    lr=0.01,
    weight_decay=1e-4,
    warmup_iterations=1000,
    warmup_lr=1e-5,
    milestones=(2 / 3, 8 / 9),
    augmentation=AugmentationConfig(photometric=False, expand=False, crop=False),
)
_LONG = _SHORT.replace(iterations=270_000, milestones=(7 / 9, 25 / 27))
_FCOS = FCOSConfig(image_size=800, backbone=BackboneConfig(name="resnet50", freeze_bn=True))
_CONDINST = _FCOS.replace(mask_branch=DynamicMaskConfig(), matching=PointMatchingConfig(centre="mask"))
_BLENDMASK = _FCOS.replace(
    mask_branch=BlendMaskConfig(),
    head=PointHeadConfig(scale_per_level=False),
    loss=PointLossConfig(semantic=0.3, semantic_form="painted"),
)
# its short side is 440 to 550 pixels in training, 550 in inference
_BLENDMASK_550 = _BLENDMASK.replace(
    image_size=550,
    fpn=FPNConfig(extra_levels=1, upsample="nearest", relu=False),
    head=PointHeadConfig(convs=0, shared_convs=3, scale_per_level=False),
    matching=PointMatchingConfig(sizes_of_interest=(64, 128, 256)),
    mask_branch=BlendMaskConfig(convs=2),
)
_POINT_INFERENCE = InferenceConfig(suppression="standard", nms_iou=0.6, score_threshold=0.05**0.5)

PRESETS = (
    Preset("condinst_resnet50", "CondInst, ResNet-50, 800 x 800, 1x", _CONDINST, _SHORT, _POINT_INFERENCE, COCO_CLASSES),
    Preset(
        "condinst_resnet101",
        "CondInst, ResNet-101, 800 x 800, 3x",
        _CONDINST.replace(backbone=BackboneConfig(freeze_bn=True)),
        _LONG,
        _POINT_INFERENCE,
        COCO_CLASSES,
    ),
    Preset("blendmask_resnet50", "BlendMask, ResNet-50, 800 x 800, 1x", _BLENDMASK, _SHORT, _POINT_INFERENCE, COCO_CLASSES),
    Preset(
        "blendmask_550_resnet50",
        "BlendMask, ResNet-50, 550 x 550, 3x: P3 to P6, one tower",
        _BLENDMASK_550,
        _LONG,
        _POINT_INFERENCE,
        COCO_CLASSES,
    ),
    Preset(
        "fcos_resnet50",
        "FCOS, ResNet-50, 800 x 800, 1x: boxes only",
        _FCOS.replace(head=PointHeadConfig(class_threshold=0.05)),
        _SHORT,
        _POINT_INFERENCE.replace(score_threshold=0.0),
        COCO_CLASSES,
    ),
)
