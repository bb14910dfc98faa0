"""The segmenters that come with the workbench's own dependencies: YOLACT, and Mask R-CNN as torchvision has it."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torchvision
from torch import Tensor
from torchvision.models.detection import maskrcnn_resnet50_fpn

from benchmarks.common.calibration import decide, settle
from benchmarks.common.networks import IMAGE, TINY_IMAGE, drawn, noise
from benchmarks.common.sized import Size, sized
from benchmarks.peers.peer import DETECTIONS, Peer, millions
from yolact.config.engine import EngineConfig
from yolact.inference.predictor import Predictor

_SIDE, _PUBLISHED = 800, 34.6
"""torchvision's default for the image's shorter side, and mask AP on COCO val2017 there by its documentation."""

_YOLACT = 28.2
"""Mask AP of YOLACT-550 with ResNet-50 on COCO test-dev, by the paper's table 1."""


def yolact(name: str, engine: Literal["eager", "compiled"], device: str, tiny: bool) -> Peer:
    """YOLACT-550, ResNet-50, by one of the engines."""
    chosen = sized(Size(detections=DETECTIONS), tiny)
    inference = chosen.inference.replace(engine=EngineConfig(kind=engine))
    model, image = drawn(chosen).to(device), noise(1, _size(tiny))[0].to(device)
    predictor = Predictor(model, inference.engine)

    def run(threshold: float) -> Tensor:
        return predictor.predict([image], inference.replace(score_threshold=threshold))[0].scores

    side = model.image_size
    return Peer(name, "this workbench", f"{side} x {side}", millions(model), _YOLACT, run)


def mask_rcnn(side: int, device: str, tiny: bool) -> Peer:
    """torchvision's `maskrcnn_resnet50_fpn` with the image's shorter side at `side` pixels."""
    torch.manual_seed(0)
    regions = {"rpn_post_nms_top_n_test": 10} if tiny else {}
    model: Any = maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, min_size=side, box_detections_per_img=DETECTIONS, box_score_thresh=1.0, **regions
    )
    image, seen = noise(1, _size(tiny))[0], []
    model.roi_heads.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[2][0]))
    settle(model, lambda: model([image / 255]))
    decide([model.roi_heads.box_predictor.cls_score], lambda: model([image / 255]))
    height, width = seen[0]
    model, image = model.to(device), image.to(device)

    @torch.inference_mode()
    def run(threshold: float) -> Tensor:
        model.roi_heads.score_thresh = threshold
        found = model([image.float() / 255])[0]
        _ = found["masks"] > 0.5  # as its users make masks of probabilities
        return found["scores"]

    published = _PUBLISHED if side == _SIDE else None
    package = f"torchvision {torchvision.__version__}"
    return Peer(f"Mask R-CNN R-50-FPN, {side}", package, f"{width} x {height}", millions(model), published, run)


def _size(tiny: bool) -> tuple[int, int]:
    return TINY_IMAGE if tiny else IMAGE
