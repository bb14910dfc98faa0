"""From a configuration to the dense head that it describes. A new detector is one file, and one line here."""

from __future__ import annotations

from yolact.config.model import (
    CenterNetConfig,
    FCOSConfig,
    OneStageConfig,
    RetinaNetConfig,
    SSDConfig,
    YolactConfig,
    YOLOv3Config,
)
from yolact.models.one_stage.dense_head import DenseHead
from yolact.models.one_stage.heads.anchor_head import AnchorHead
from yolact.models.one_stage.heads.centernet_head import CenterHead
from yolact.models.one_stage.heads.fcos_head import PointHead
from yolact.models.one_stage.heads.retinanet_head import RetinaNetHead
from yolact.models.one_stage.heads.ssd_head import SSDHead
from yolact.models.one_stage.heads.yolov3_head import YOLOv3Head
from yolact.ops.anchors import Sizes

HEADS: dict[type[OneStageConfig], type[DenseHead]] = {
    YolactConfig: AnchorHead,
    FCOSConfig: PointHead,
    YOLOv3Config: YOLOv3Head,
    CenterNetConfig: CenterHead,
    RetinaNetConfig: RetinaNetHead,
    SSDConfig: SSDHead,
}


def build_head(config: OneStageConfig, num_classes: int, parameters_per_location: int, sizes: Sizes) -> DenseHead:
    """The dense head of `config` on levels of these sizes, with outputs for `num_classes` classes and the mask parameters."""
    return HEADS[type(config)](config, num_classes, parameters_per_location, sizes)  # type: ignore[call-arg]
