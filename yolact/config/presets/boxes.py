"""Detectors of boxes alone: YOLOv3 (darknet `cfg/yolov3.cfg`) and CenterNet (its `experiments/ctdet_coco_resdcn*.sh`)."""

from __future__ import annotations

from yolact.config.inference import InferenceConfig
from yolact.config.model import CenterNetConfig, YOLOv3Config
from yolact.config.model.parts import BackboneConfig
from yolact.config.presets.preset import COCO_CLASSES, Preset
from yolact.config.training import AugmentationConfig, TrainingConfig

# Not darknet's: the warm-up grows with the iteration, not with its fourth power; biases and batch norm decay too; the input has
# one size in all of the training, where darknet draws 320 to 608 every ten iterations; images are squashed, where darknet adds
# grey bars. The backbone may start from darknet's own file, darknet53.conv.74.
_YOLOV3_TRAINING = TrainingConfig(
    iterations=500_200, batch_size=64, warmup_iterations=1000, warmup_lr=0.0, milestones=(4000 / 5002, 4500 / 5002)
)
_YOLOV3_INFERENCE = InferenceConfig(**YOLOv3Config.inference_defaults)


def _yolov3(image_size: int) -> Preset:
    return Preset(
        f"yolov3_{image_size}",
        f"YOLOv3-{image_size}, DarkNet-53: boxes only; give the path of its ImageNet weights in model.backbone.weights",
        YOLOv3Config(image_size=image_size),
        _YOLOV3_TRAINING,
        _YOLOV3_INFERENCE,
        COCO_CLASSES,
    )


# 140 epochs of 118,287 images. The official code cuts a square of .6 to 1.3 times the longer side around a random centre, and
# tests at the image's own size.
_CENTERNET_TRAINING = TrainingConfig(
    iterations=129_376,
    batch_size=128,
    optimizer="adam",
    lr=5e-4,
    weight_decay=0.0,
    warmup_iterations=0,
    milestones=(90 / 140, 120 / 140),
    augmentation=AugmentationConfig(max_expand=1.3),
)


def _centernet(depth: int) -> Preset:
    return Preset(
        f"centernet_resnet{depth}",
        f"CenterNet, ResDCN-{depth}, 512 x 512: boxes only",
        CenterNetConfig(backbone=BackboneConfig(name=f"resnet{depth}")),
        _CENTERNET_TRAINING,
        InferenceConfig(**CenterNetConfig.inference_defaults),
        COCO_CLASSES,
    )


PRESETS = (*map(_yolov3, (320, 416, 608)), *map(_centernet, (18, 101)))
