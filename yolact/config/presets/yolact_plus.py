"""YOLACT++ as published. Source: reference `data/config.py` yolact_plus_base_config; YOLACT++ paper (TPAMI 2020)."""

from __future__ import annotations

from yolact.config.inference import InferenceConfig
from yolact.config.mask_branch import PrototypeConfig, RescoringConfig
from yolact.config.model import YolactConfig
from yolact.config.model.parts import BackboneConfig, DeformableConfig
from yolact.config.model.yolact import AnchorConfig
from yolact.config.presets.preset import COCO_CLASSES, Preset
from yolact.config.training import TrainingConfig

_ANCHORS = AnchorConfig(
    scales=tuple((side, side * 2 ** (1 / 3), side * 2 ** (2 / 3)) for side in (24, 48, 96, 192, 384)), square=False
)
_MODEL = YolactConfig(anchors=_ANCHORS, mask_branch=PrototypeConfig(rescoring=RescoringConfig()))
_INFERENCE = InferenceConfig(whole_pixel_boxes=True)


def _plus(name: str, summary: str, backbone: BackboneConfig) -> Preset:
    return Preset(name, summary, _MODEL.replace(backbone=backbone), TrainingConfig(), _INFERENCE, COCO_CLASSES)


PRESETS = (
    _plus(
        "yolact_plus_base",
        "YOLACT++, ResNet-101, every third block of C3 to C5 deformable",
        BackboneConfig(deformable=DeformableConfig(last_blocks=(0, 4, 23, 3), interval=3)),
    ),
    _plus(
        "yolact_plus_resnet50",
        "YOLACT++, ResNet-50, every block of C3 to C5 deformable",
        BackboneConfig(name="resnet50", deformable=DeformableConfig()),
    ),
)
