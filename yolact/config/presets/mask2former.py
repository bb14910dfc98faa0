"""Mask2Former. Source: its `configs/coco/instance-segmentation/maskformer2_R50_bs16_50ep.yaml`, and the Swin-T one."""

from __future__ import annotations

from yolact.config.inference import InferenceConfig
from yolact.config.model import Mask2FormerConfig
from yolact.config.model.parts import BackboneConfig
from yolact.config.presets.preset import COCO_CLASSES, Preset
from yolact.config.training import AugmentationConfig, TrainingConfig

# The published recipe also gives the backbone a tenth of the learning rate, and decays neither norms nor embeddings. Its inputs
# are squares of 1024 pixels that hold the image at .1 to 2 times that size.
_TRAINING = TrainingConfig(
    iterations=368_750,
    batch_size=16,
    optimizer="adamw",
    lr=1e-4,
    weight_decay=0.05,
    gradient_clip=0.01,
    warmup_iterations=10,
    warmup_lr=1e-5,
    milestones=(8 / 9, 26 / 27),
    augmentation=AugmentationConfig(photometric=False),
)


def _mask2former(backbone: str, title: str, freeze_bn: bool) -> Preset:
    return Preset(
        f"mask2former_{backbone}",
        f"Mask2Former, {title}, 800 x 800, 50 epochs; needs the extra `transformers`",
        Mask2FormerConfig(image_size=800, backbone=BackboneConfig(name=backbone, freeze_bn=freeze_bn)),
        _TRAINING,
        InferenceConfig(**Mask2FormerConfig.inference_defaults),
        COCO_CLASSES,
    )


PRESETS = (_mask2former("resnet50", "ResNet-50", True), _mask2former("swin_tiny", "Swin-T", False))
