"""Two-stage detectors. One file per kind, one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from yolact.config.model import (
    FasterRCNNConfig,
    FCISConfig,
    MaskRCNNConfig,
    MNCConfig,
    MSRCNNConfig,
    PANetConfig,
    TwoStageConfig,
)
from yolact.models.two_stage.faster_rcnn import FasterRCNN
from yolact.models.two_stage.mask_rcnn import MaskRCNN
from yolact.models.two_stage.ms_rcnn import MaskScoringRCNN
from yolact.models.two_stage.panet import PANet
from yolact.models.two_stage.per_image import PerImage
from yolact.models.two_stage.single_map.fcis import FCIS
from yolact.models.two_stage.single_map.mnc import MNC

TWO_STAGE: dict[type[TwoStageConfig], Callable[[Any, int, bool], PerImage]] = {
    FasterRCNNConfig: FasterRCNN,
    FCISConfig: FCIS,
    MNCConfig: MNC,
    MaskRCNNConfig: MaskRCNN,
    MSRCNNConfig: MaskScoringRCNN,
    PANetConfig: PANet,
}
"""{configuration: model}, called with (config, number of classes, whether to load the backbone's weights)."""
