"""CenterMask. Source: centermask2 `configs/centermask` and its README.

Its inputs keep the image's shape: short side 640 to 800 pixels in training, 800 in inference; Lite 580 to 600, and 600.
"""

from __future__ import annotations

from yolact.config.inference import InferenceConfig
from yolact.config.mask_branch import MaskIoUConfig, RoIMaskConfig
from yolact.config.model import FCOSConfig
from yolact.config.model.fcos import PointHeadConfig
from yolact.config.model.parts import BackboneConfig, FPNConfig
from yolact.config.presets.preset import COCO_CLASSES, Preset
from yolact.config.training import AugmentationConfig, TrainingConfig

_TRAINING = TrainingConfig(
    iterations=270_000,
    batch_size=16,
    lr=0.01,
    weight_decay=1e-4,
    warmup_iterations=1000,
    warmup_lr=1e-5,
    milestones=(7 / 9, 25 / 27),
    augmentation=AugmentationConfig(photometric=False, expand=False, crop=False),
)
_LITE_TRAINING = _TRAINING.replace(iterations=360_000, milestones=(5 / 6, 17 / 18))
# the threshold of 0.05 is on class probabilities (head.class_threshold), before centerness enters the score
_INFERENCE = InferenceConfig(suppression="standard", nms_iou=0.6, score_threshold=0.0, level_top_k=1000, max_detections=50)

MASKS = RoIMaskConfig(
    proposal_score_threshold=0.0,
    proposal_nms_iou=0.6,
    max_masks_per_image=128,
    level_rule="ratio",
    samples=0,
    aligned=True,
    attention=True,
    clip="pasting",
    pasting="centres",
    mask_scoring=True,
)
"""Its mask branch."""
_LITE_MASKS = MASKS.replace(convs=2, channels=128, mask_iou=MaskIoUConfig(convs=2, channels=128))
_FULL = FCOSConfig(image_size=800, head=PointHeadConfig(class_threshold=0.05), mask_branch=MASKS)
_LITE = FCOSConfig(
    image_size=600,
    fpn=FPNConfig(channels=128, upsample="nearest", relu=False),
    head=PointHeadConfig(convs=2, class_threshold=0.05),
    mask_branch=_LITE_MASKS,
)


def _on(model: FCOSConfig, backbone: str) -> FCOSConfig:
    """With batch norm frozen; the authors' ImageNet weights are not torchvision's, so that their file is to be named."""
    return model.replace(backbone=BackboneConfig(name=backbone, weights=None, freeze_bn=True))


PRESETS = tuple(
    Preset(
        f"centermask_{backbone}",
        f"CenterMask, VoVNetV2-{backbone.removeprefix('vovnet')}, 800 x 800, 3x; give the path of its ImageNet weights in "
        "model.backbone.weights",
        _on(_FULL, backbone),
        _TRAINING,
        _INFERENCE,
        COCO_CLASSES,
    )
    for backbone in ("vovnet39", "vovnet57", "vovnet99")
) + tuple(
    Preset(
        f"centermask_lite_{backbone}",
        f"CenterMask-Lite, VoVNetV2-{backbone.removeprefix('vovnet')}, 600 x 600, 4x; give the path of its ImageNet weights in "
        "model.backbone.weights",
        _on(_LITE, backbone),
        _LITE_TRAINING,
        _INFERENCE,
        COCO_CLASSES,
    )
    for backbone in ("vovnet39", "vovnet19")
)
