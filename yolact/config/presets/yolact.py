"""YOLACT as published. Source: reference `data/config.py`; paper tables 1 to 3."""

from __future__ import annotations

from yolact.config.inference import InferenceConfig
from yolact.config.mask_branch import FCMaskConfig, PrototypeConfig
from yolact.config.model import ModelConfig, YolactConfig
from yolact.config.model.parts import BackboneConfig
from yolact.config.model.yolact import AnchorConfig, LossConfig
from yolact.config.presets.preset import COCO_CLASSES, PASCAL_CLASSES, Preset
from yolact.config.training import TrainingConfig


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


def _coco(name: str, summary: str, model: ModelConfig, training: TrainingConfig | None = None) -> Preset:
    return Preset(name, summary, model, training or TrainingConfig(), _INFERENCE, COCO_CLASSES)


PRESETS = (
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
)
