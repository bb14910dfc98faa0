"""What a network is: every field that fixes its weights' shapes or the loss they are trained with.

Boxes and anchors are measured in pixels of the network's input, a square of `image_size`.
"""

from __future__ import annotations

from typing import Annotated, cast

from pydantic import Discriminator, Tag

from yolact.config.base import kind_of
from yolact.config.fields import CUSTOM, kinds_in
from yolact.config.model.base import AnyModelConfig
from yolact.config.model.boxes.centernet import CenterNetConfig
from yolact.config.model.boxes.ssd import SSDConfig
from yolact.config.model.boxes.yolov3 import YOLOv3Config
from yolact.config.model.custom import CustomModelConfig
from yolact.config.model.fcos import FCOSConfig
from yolact.config.model.mask2former import Mask2FormerConfig
from yolact.config.model.panet import PANetConfig
from yolact.config.model.retinanet import RetinaNetConfig
from yolact.config.model.single_map import FCISConfig, MNCConfig
from yolact.config.model.solo import CellConfig, DecoupledSoloConfig, SoloConfig, Solov2Config
from yolact.config.model.two_stage import FasterRCNNConfig, MaskRCNNConfig, MSRCNNConfig, TwoStageConfig
from yolact.config.model.yolact import YolactConfig

__all__ = [
    "AnyModelConfig",
    "CellConfig",
    "CenterNetConfig",
    "CustomModelConfig",
    "DecoupledSoloConfig",
    "FCISConfig",
    "FCOSConfig",
    "FasterRCNNConfig",
    "MNCConfig",
    "MSRCNNConfig",
    "Mask2FormerConfig",
    "MaskRCNNConfig",
    "ModelConfig",
    "OneStageConfig",
    "PANetConfig",
    "RetinaNetConfig",
    "SSDConfig",
    "SoloConfig",
    "Solov2Config",
    "TwoStageConfig",
    "YOLOv3Config",
    "YolactConfig",
    "model_class",
]

OneStageConfig = YolactConfig | FCOSConfig | RetinaNetConfig | SSDConfig | YOLOv3Config | CenterNetConfig
"""The one-stage detectors."""

ModelConfig = Annotated[
    Annotated[YolactConfig, Tag("yolact")]
    | Annotated[FCOSConfig, Tag("fcos")]
    | Annotated[FCISConfig, Tag("fcis")]
    | Annotated[MNCConfig, Tag("mnc")]
    | Annotated[FasterRCNNConfig, Tag("faster_rcnn")]
    | Annotated[SSDConfig, Tag("ssd")]
    | Annotated[YOLOv3Config, Tag("yolov3")]
    | Annotated[CenterNetConfig, Tag("centernet")]
    | Annotated[RetinaNetConfig, Tag("retinanet")]
    | Annotated[MaskRCNNConfig, Tag("mask_rcnn")]
    | Annotated[MSRCNNConfig, Tag("ms_rcnn")]
    | Annotated[PANetConfig, Tag("panet")]
    | Annotated[Mask2FormerConfig, Tag("mask2former")]
    | Annotated[SoloConfig, Tag("solo")]
    | Annotated[DecoupledSoloConfig, Tag("decoupled_solo")]
    | Annotated[Solov2Config, Tag("solov2")]
    | Annotated[CustomModelConfig, Tag(CUSTOM)],
    Discriminator(kind_of),
]


def model_class(kind: str) -> type[AnyModelConfig]:
    """The class of the models of a kind, which may be an import path."""
    return cast(type[AnyModelConfig], kinds_in(ModelConfig)[CUSTOM if ":" in kind else kind])
