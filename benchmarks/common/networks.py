"""Networks of the benchmarks: a preset with weights drawn from one seed that detects objects in noise."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.common.calibration import decide
from yolact.config import (
    AnchorConfig,
    BackboneConfig,
    FCMaskConfig,
    FPNConfig,
    InferenceConfig,
    MaskRCNNConfig,
    PrototypeConfig,
    TrainingConfig,
    YolactConfig,
)
from yolact.config.presets import PRESETS, Preset
from yolact.inference.predictor import Predictor
from yolact.inference.random_weights import settle
from yolact.models.base import Model
from yolact.models.build import build_model

IMAGE, TINY_IMAGE = (480, 640), (48, 64)
"""(H, W) of the images."""


def presets(tiny: bool) -> dict[str, Preset]:
    """Every published configuration; `tiny`, three of 64 px that take the same paths in seconds on a CPU."""
    if not tiny:
        return PRESETS
    backbone = BackboneConfig(name="resnet_tiny", weights=None, width=4)
    anchors = AnchorConfig(scales=((8,), (16,), (24,), (32,), (48,)))
    yolact = YolactConfig(
        image_size=64,
        backbone=backbone,
        fpn=FPNConfig(channels=16),
        anchors=anchors,
        mask_branch=PrototypeConfig(k=8, channels=16, depth=1),
    )
    mask_rcnn = MaskRCNNConfig(image_size=64, backbone=backbone, channels=16, representation=16, anchor_sizes=(8, 16, 32))
    models: dict[str, YolactConfig | MaskRCNNConfig] = {
        "yolact": yolact,
        "fc_mask": yolact.replace(mask_branch=FCMaskConfig(size=8)),
        "mask_rcnn": mask_rcnn,
    }
    return {
        f"tiny_{name}": Preset(f"tiny_{name}", "", model, TrainingConfig(), _inference(name), num_classes=5)
        for name, model in models.items()
    }


def drawn(preset: Preset) -> Model:
    """The preset's network on the CPU, in inference mode, the same weights every time."""
    torch.manual_seed(0)
    model = build_model(preset.model, preset.num_classes, pretrained=False)
    settle(model)
    decide([model.get_submodule(model.classifier)], lambda: Predictor(model).predict(noise(1, TINY_IMAGE), preset.inference))
    return model


def noise(count: int, size: tuple[int, int] = IMAGE) -> list[Tensor]:
    """Images (3, H, W) uint8, the same ones every time."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for _ in range(count)]


def _inference(name: str) -> InferenceConfig:
    return InferenceConfig(suppression="standard" if name == "mask_rcnn" else "fast")
