"""Two-stage detectors. One file per kind, one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from yolact.config.model import FasterRCNNConfig, MaskRCNNConfig, MSRCNNConfig, PANetConfig, TwoStageConfig
from yolact.models.two_stage.base import TwoStage
from yolact.models.two_stage.faster_rcnn import FasterRCNN
from yolact.models.two_stage.mask_rcnn import MaskRCNN
from yolact.models.two_stage.ms_rcnn import MaskScoringRCNN
from yolact.models.two_stage.panet import PANet

TWO_STAGE: dict[type[TwoStageConfig], Callable[[Any, int, bool], TwoStage]] = {
    FasterRCNNConfig: FasterRCNN,
    MaskRCNNConfig: MaskRCNN,
    MSRCNNConfig: MaskScoringRCNN,
    PANetConfig: PANet,
}
"""{configuration: model}, called with (config, number of classes, whether to load the backbone's weights)."""
