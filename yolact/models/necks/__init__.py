"""Necks: from a backbone's maps to the levels that a head reads. A new one is one file, and one line here."""

from __future__ import annotations

from collections.abc import Sequence

from yolact.config.model import CenterNetConfig, OneStageConfig, SSDConfig, YOLOv3Config
from yolact.models.necks.fpn import FPN
from yolact.models.necks.neck import Neck
from yolact.models.necks.ssd import SSDNeck
from yolact.models.necks.upsampler import Upsampler
from yolact.models.necks.yolov3 import YOLOv3Neck


def build_neck(config: OneStageConfig, in_channels: Sequence[int]) -> Neck:
    """The neck of `config` on C3, C4, C5 of `in_channels`: a feature pyramid, where the detector has none of its own."""
    if isinstance(config, YOLOv3Config):
        return YOLOv3Neck(config.neck, in_channels)
    if isinstance(config, CenterNetConfig):
        return Upsampler(config.neck, in_channels)
    if isinstance(config, SSDConfig):
        return SSDNeck(config.neck, in_channels)
    return FPN(config.fpn, in_channels)
