"""What `python -m benchmarks training` trains and loads: networks with random weights, made-up batches, made-up JPEG images.

It uses of the project only what any of its versions has, since a worker runs it with another checkout's code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from yolact.config import AnchorConfig, AugmentationConfig, BackboneConfig, FPNConfig, PrototypeConfig, YolactConfig
from yolact.data.coco import CocoSplit
from yolact.data.loader import TrainingBatches
from yolact.models.build import build_model
from yolact.structures import Target

OBJECTS = 7
"""Per image: COCO's mean."""
IMAGES = 24


def config_of(case: str) -> tuple[YolactConfig, int]:
    """(configuration, classes): "r50" as in the paper, "toy" as in `experiments/scales/toy.yaml`."""
    if case == "r50":
        return YolactConfig(backbone=BackboneConfig(name="resnet50", weights=None)), 80
    toy = YolactConfig(
        image_size=128,
        backbone=BackboneConfig(name="resnet_tiny", weights=None, freeze_bn=False, width=32),
        fpn=FPNConfig(channels=64),
        anchors=AnchorConfig(scales=((22,), (44,), (72,), (100,), (120,))),
        mask_branch=PrototypeConfig(channels=32),
    )
    return toy, 3


def network(case: str) -> Any:
    """With random weights."""
    config, classes = config_of(case)
    return build_model(config, classes, pretrained=False)


def batch_of(images: int, size: int, classes: int) -> tuple[Tensor, list[Target]]:
    """Random pixels, and rectangles of COCO's sizes: half of them smaller than a sixth of the image's side."""
    rng = np.random.default_rng(0)
    targets = []
    for number in range(images):
        boxes = _boxes(rng, size, size)
        masks = torch.zeros(OBJECTS, size, size, dtype=torch.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes.tolist(), strict=True):
            mask[top:bottom, left:right] = 1
        labels = torch.from_numpy(rng.integers(0, classes, OBJECTS))
        crowd = torch.zeros(OBJECTS, dtype=torch.bool)
        targets.append(Target(torch.from_numpy(boxes).float(), labels, masks, crowd, number, number))
    return torch.from_numpy(rng.uniform(0, 255, (images, 3, size, size)).astype(np.float32)), targets


def batches_of(case: str, batch_size: int, batches: int, folder: Path) -> Iterable:
    """Of the loader, on generated images of 640 x 480 (toy: 128 x 128), each decoded and augmented anew."""
    import yolact.data.loader as loader

    loader.CACHE_BYTES = 0
    config, _ = config_of(case)
    width, height = (640, 480) if case == "r50" else (128, 128)
    # like the toy scale's, whose objects are large already
    augmentation = AugmentationConfig() if case == "r50" else AugmentationConfig(expand=False, crop=False)
    split = CocoSplit(folder, _data_set(folder, width, height))
    return TrainingBatches(split, augmentation, config.image_size, batch_size, 0, iterations=batches)


def _data_set(folder: Path, width: int, height: int) -> Path:
    """Smooth noise as JPEG files, with ellipses of 24 corners as objects; gives the annotations' path."""
    file, rng = folder / "annotations.json", np.random.default_rng(0)
    if file.exists():
        return file
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(1, IMAGES + 1):
        noise = Image.fromarray(rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8))
        noise.resize((width, height), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=90)
        images.append({"id": number, "file_name": f"{number}.jpg", "width": width, "height": height})
        for left, top, right, bottom in _boxes(rng, width, height).tolist():
            turn = np.arange(24) * 2 * np.pi / 24
            x = (left + right) / 2 + (right - left) / 2 * np.cos(turn)
            y = (top + bottom) / 2 + (bottom - top) / 2 * np.sin(turn)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top) * np.pi / 4,
                    "iscrowd": 0,
                    "segmentation": [np.stack([x, y], 1).ravel().tolist()],
                }
            )
    aside = file.with_suffix(".part")
    aside.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}))
    aside.rename(file)
    return file


def _boxes(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """(OBJECTS, 4) int64 xyxy."""
    sides = np.maximum(8, (rng.uniform(0.05, 0.8, (OBJECTS, 2)) ** 2 * [width, height])).astype(np.int64)
    corner = (rng.random((OBJECTS, 2)) * ([width, height] - sides)).astype(np.int64)
    return np.concatenate([corner, corner + sides], 1)
