"""SOLO, decoupled SOLO, SOLOv2. Source: `WXinlong/SOLO` `configs/solo`, `configs/solov2`.

The authors keep the image's shape, with a short side of 800 pixels, of 352 to 512 for the light model, and leave the backbone's
stem and first stage as loaded. Here inputs are squares, and all of the backbone but its batch norm is trained.
"""

from __future__ import annotations

from yolact.config.inference import InferenceConfig
from yolact.config.model import CellConfig, DecoupledSoloConfig, SoloConfig, Solov2Config
from yolact.config.model.parts import BackboneConfig
from yolact.config.model.solo import CellHeadConfig, CellMatchingConfig, MaskFeaturesConfig
from yolact.config.presets.preset import COCO_CLASSES, Preset
from yolact.config.training import AugmentationConfig, TrainingConfig

# 1x: 12 epochs of 7330 iterations of 16 images
_SHORT = TrainingConfig(
    iterations=87_960,
    batch_size=16,
    lr=0.01,
    weight_decay=1e-4,
    warmup_iterations=500,
    warmup_lr=0.01 / 3,
    milestones=(9 / 12, 11 / 12),
    gradient_clip=35,
    augmentation=AugmentationConfig(photometric=False, expand=False, crop=False),
)
_SOLOV2 = _SHORT.replace(warmup_lr=1e-4)
_LONG = _SOLOV2.replace(iterations=263_880, milestones=(27 / 36, 33 / 36))
_INFERENCE = InferenceConfig(suppression="matrix", score_threshold=0.1, pre_nms_top_k=500, crop=False)
_R50 = BackboneConfig(name="resnet50", freeze_bn=True)
_AT_800 = CellMatchingConfig(scale_ranges=((1, 96), (48, 192), (96, 384), (192, 768), (384, 2048)))
_AT_448 = CellMatchingConfig(scale_ranges=((1, 56), (28, 112), (56, 224), (112, 448), (224, 896)))


def _coco(name: str, summary: str, model: CellConfig, training: TrainingConfig) -> Preset:
    return Preset(name, summary, model, training, _INFERENCE, COCO_CLASSES)  # type: ignore[arg-type]


PRESETS = (
    _coco(
        "solo_resnet50",
        "SOLO, ResNet-50, 800 x 800, 1x",
        SoloConfig(image_size=800, backbone=_R50, matching=_AT_800),
        _SHORT,
    ),
    _coco(
        "decoupled_solo_resnet50",
        "Decoupled SOLO, ResNet-50, 800 x 800, 1x",
        DecoupledSoloConfig(image_size=800, backbone=_R50, matching=_AT_800),
        _SHORT,
    ),
    _coco(
        "solov2_resnet50",
        "SOLOv2, ResNet-50, 800 x 800, 1x",
        Solov2Config(image_size=800, backbone=_R50, matching=_AT_800),
        _SOLOV2,
    ),
    _coco(
        "solov2_light_448_resnet50",
        "SOLOv2-448, the light model, ResNet-50, 448 x 448, 3x",
        Solov2Config(
            image_size=448,
            backbone=_R50,
            head=CellHeadConfig(convs=2, width=256),
            mask_features=MaskFeaturesConfig(features=128),
            matching=_AT_448,
        ),
        _LONG,
    ),
)
