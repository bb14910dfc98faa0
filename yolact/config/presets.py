"""Every published configuration, as literal values. Source: reference `data/config.py`; paper tables 1 to 3; AdelaiDet's
`configs/CondInst` and `configs/FCOS-Detection`.

A preset is what it takes to train and run one published model: `model`, `training`, `inference`, and the number of classes.
"""

from __future__ import annotations

from dataclasses import dataclass

from yolact.config import (
    AnchorConfig,
    AugmentationConfig,
    BackboneConfig,
    DynamicMaskConfig,
    FCMaskConfig,
    FCOSConfig,
    InferenceConfig,
    LossConfig,
    MaskRCNNConfig,
    ModelConfig,
    PointHeadConfig,
    PointMatchingConfig,
    PrototypeConfig,
    TrainingConfig,
    YolactConfig,
)
from yolact.config.base import ConfigError, nearest
from yolact.config.categories import COCO, PASCAL

COCO_CLASSES = len(COCO)
PASCAL_CLASSES = len(PASCAL)


@dataclass(frozen=True)
class Preset:
    """One published model. `name` is how specs and commands call it."""

    name: str
    summary: str
    model: ModelConfig
    training: TrainingConfig
    inference: InferenceConfig
    num_classes: int

    @property
    def categories(self) -> dict[int, str]:
        """{category id: name} of the data set that it was published for, in the order of the labels."""
        return PASCAL if self.num_classes == PASCAL_CLASSES else COCO


def scaled_anchors(image_size: int, base_size: int = 550) -> AnchorConfig:
    """The COCO anchors moved to another input size: 24..384 px times the ratio of sizes, cut to whole pixels."""
    return AnchorConfig(scales=tuple((int(scale * image_size / base_size),) for scale in (24, 48, 96, 192, 384)))


_BASE = YolactConfig()
_INFERENCE = InferenceConfig(whole_pixel_boxes=True)
_SBD_ANCHORS = AnchorConfig(scales=((32,), (64,), (128,), (256,), (512,)), square=False)
# the authors' development recipe, most likely behind tables 2b and 2c's fc-mask row: shorter, larger anchors, no semantic loss
_DEVELOPMENT_ANCHORS = AnchorConfig(scales=((32,), (64,), (128,), (256,), (512,)), aspect_ratios=(1, 0.5**0.5, 2**0.5))
_DEVELOPMENT = _BASE.replace(anchors=_DEVELOPMENT_ANCHORS, loss=LossConfig(semantic=0))
_DEVELOPMENT_TRAINING = TrainingConfig(iterations=400_000, milestones=(0.7, 0.9))
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
_POINT_INFERENCE = InferenceConfig(suppression="standard", nms_iou=0.6, score_threshold=0.05**0.5)


def _coco(name: str, summary: str, model: ModelConfig, training: TrainingConfig | None = None) -> Preset:
    return Preset(name, summary, model, training or TrainingConfig(), _INFERENCE, COCO_CLASSES)


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        _coco("yolact_base", "YOLACT-550, ResNet-101", _BASE),
        _coco(
            "yolact_im400",
            "YOLACT-400, ResNet-101",
            _BASE.replace(image_size=400, anchors=scaled_anchors(400)),
        ),
        _coco(
            "yolact_im700",
            "YOLACT-700, ResNet-101",
            _BASE.replace(image_size=700, anchors=scaled_anchors(700), mask_branch=PrototypeConfig(max_masks_per_image=300)),
        ),
        _coco("yolact_resnet50", "YOLACT-550, ResNet-50", _BASE.replace(backbone=BackboneConfig(name="resnet50"))),
        _coco(
            "yolact_darknet53",
            "YOLACT-550, DarkNet-53; give the path of its ImageNet weights in model.backbone.weights",
            _BASE.replace(backbone=BackboneConfig(name="darknet53", weights=None), pixels="unit"),
        ),
        Preset(
            "yolact_resnet50_pascal",
            "YOLACT-550, ResNet-50, Pascal 2012 SBD",
            _BASE.replace(backbone=BackboneConfig(name="resnet50"), anchors=_SBD_ANCHORS),
            TrainingConfig(iterations=120_000, milestones=(0.5, 5 / 6)),
            _INFERENCE,
            PASCAL_CLASSES,
        ),
        _coco(
            "yolact_development",
            "YOLACT-550 in the recipe most likely used for table 2b",
            _DEVELOPMENT,
            _DEVELOPMENT_TRAINING,
        ),
        _coco(
            "fc_mask",
            "fc-mask baseline, most likely table 2c's recipe",
            _DEVELOPMENT.replace(mask_branch=FCMaskConfig(size=20)),
            _DEVELOPMENT_TRAINING,
        ),
        Preset("condinst_resnet50", "CondInst, ResNet-50, 800 x 800, 1x", _CONDINST, _SHORT, _POINT_INFERENCE, COCO_CLASSES),
        Preset(
            "condinst_resnet101",
            "CondInst, ResNet-101, 800 x 800, 3x",
            _CONDINST.replace(backbone=BackboneConfig(freeze_bn=True)),
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
        Preset(
            "mask_rcnn",
            "torchvision's Mask R-CNN at 550 x 550, ResNet-101",
            MaskRCNNConfig(),
            TrainingConfig(),
            InferenceConfig(suppression="standard"),
            COCO_CLASSES,
        ),
    )
}


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ConfigError: there is none; the message names the nearest.
    """
    if name not in PRESETS:
        raise ConfigError(f"unknown preset {name!r}{nearest(name, sorted(PRESETS))}", "preset")
    return PRESETS[name]
