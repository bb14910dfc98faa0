"""FCIS and MNC. Source: msracver/FCIS `experiments/fcis/cfgs`, daijifeng001/MNC `models/VGG16/mnc_5stage`.

Their inputs keep the image's shape, with a short side of 600 pixels and a long one of at most 1000; MNC's network is VGG-16.
"""

from __future__ import annotations

from yolact.config.inference import InferenceConfig
from yolact.config.model.parts import BackboneConfig
from yolact.config.model.single_map import FCISConfig, MNCConfig
from yolact.config.presets.preset import COCO_CLASSES, PASCAL_CLASSES, Preset
from yolact.config.training import AugmentationConfig, TrainingConfig

_MIRROR = AugmentationConfig(photometric=False, expand=False, crop=False)
# 8 epochs of COCO's 117,266 images with objects, by 8 GPUs of one image; the authors add up gradients at a rate of 5e-4
_FCIS_TRAINING = TrainingConfig(iterations=117_266, lr=4e-3, milestones=(2 / 3,), augmentation=_MIRROR)
_FCIS = FCISConfig(image_size=600, backbone=BackboneConfig(freeze_bn=True))
_INFERENCE = InferenceConfig(**FCISConfig.inference_defaults)

PRESETS = (
    Preset("fcis_resnet101", "FCIS, ResNet-101, 600 x 600", _FCIS, _FCIS_TRAINING, _INFERENCE, COCO_CLASSES),
    Preset(
        "fcis_resnet101_pascal",
        "FCIS, ResNet-101, 600 x 600, Pascal SBD",
        _FCIS.replace(ohem=False),
        # 22 epochs of SBD's 5,623 images
        _FCIS_TRAINING.replace(iterations=15_463, milestones=(14 / 22,)),
        _INFERENCE,
        PASCAL_CLASSES,
    ),
    Preset(
        "mnc_resnet50",
        "MNC, ResNet-50, 600 x 600, Pascal SBD",
        MNCConfig(image_size=600, backbone=BackboneConfig(name="resnet50", freeze_bn=True)),
        TrainingConfig(iterations=25_000, milestones=(0.8,), augmentation=_MIRROR),
        _INFERENCE,
        PASCAL_CLASSES,
    ),
)
