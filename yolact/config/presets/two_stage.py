"""Two-stage detectors.

Sources: pytorch/vision `references/detection/README.md` (Faster R-CNN); arXiv 1703.06870 section 3.1 (Mask R-CNN);
zjhuang22/maskscoring_rcnn `configs/e2e_ms_rcnn_R_50_FPN_1x.yaml`; ShuLiu1993/PANet
`configs/panet/e2e_panet_R-50-FPN_2x_mask.yaml`. They keep the image's shape and resize its short side, to 800 pixels or, for
PANet, to one of six lengths from 400 to 1200; here inputs are squares of 800.
"""

from __future__ import annotations

from typing import Any

from yolact.config.inference import InferenceConfig
from yolact.config.model import FasterRCNNConfig, MaskRCNNConfig, ModelConfig, MSRCNNConfig, PANetConfig
from yolact.config.model.parts import BackboneConfig
from yolact.config.presets.preset import COCO_CLASSES, Preset
from yolact.config.training import AugmentationConfig, TrainingConfig

_INFERENCE = InferenceConfig(suppression="standard")
# 90,000 iterations of 16 images. The official codes train biases at twice the rate and without decay.
_SHORT = TrainingConfig(
    iterations=90_000,
    batch_size=16,
    lr=0.02,
    weight_decay=1e-4,
    warmup_iterations=500,
    warmup_lr=0.02 / 3,
    milestones=(2 / 3, 8 / 9),
    augmentation=AugmentationConfig(photometric=False, expand=False, crop=False),
)
_FIELDS: dict[str, Any] = {"image_size": 800, "finest_level": 2}
_R50, _R101 = (BackboneConfig(name=name, freeze_bn=True) for name in ("resnet50", "resnet101"))


def _coco(name: str, summary: str, model: ModelConfig, training: TrainingConfig) -> Preset:
    return Preset(name, summary, model, training, _INFERENCE, COCO_CLASSES)


PRESETS = (
    _coco("mask_rcnn", "torchvision's Mask R-CNN at 550 x 550, ResNet-101", MaskRCNNConfig(), TrainingConfig()),
    _coco(
        "faster_rcnn_resnet50",
        "torchvision's Faster R-CNN, ResNet-50, 800 x 800: boxes only",
        FasterRCNNConfig(**_FIELDS, backbone=_R50),
        # 26 epochs of 7330 iterations
        _SHORT.replace(iterations=190_580, warmup_iterations=1000, warmup_lr=0.02 / 1000, milestones=(16 / 26, 22 / 26)),
    ),
    _coco(
        "mask_rcnn_resnet101",
        "Mask R-CNN as its paper trains it, ResNet-101, 800 x 800",
        MaskRCNNConfig(**_FIELDS, backbone=_R101),
        _SHORT.replace(iterations=160_000, milestones=(0.75,)),
    ),
    _coco(
        "ms_rcnn_resnet50",
        "Mask Scoring R-CNN, ResNet-50, 800 x 800, 1x",
        MSRCNNConfig(**_FIELDS, backbone=_R50),
        _SHORT,
    ),
    _coco(
        "ms_rcnn_resnet101",
        "Mask Scoring R-CNN, ResNet-101, 800 x 800, 1x",
        MSRCNNConfig(**_FIELDS, backbone=_R101),
        _SHORT,
    ),
    _coco(
        "panet_resnet50",
        "PANet, ResNet-50, 800 x 800, 2x",
        PANetConfig(**_FIELDS, backbone=_R50),
        _SHORT.replace(iterations=180_000),
    ),
)
