"""Mask branches: how masks are made, and the loss that they are trained with. One file per branch, one line here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Tag

from yolact.config.base import kind_of
from yolact.config.fields import CUSTOM
from yolact.config.mask_branch.blend import BlendMaskConfig
from yolact.config.mask_branch.custom import CustomMaskConfig, NoMaskConfig
from yolact.config.mask_branch.dynamic import DynamicMaskConfig
from yolact.config.mask_branch.fc_mask import FCMaskConfig
from yolact.config.mask_branch.prototypes import PrototypeConfig, RescoringConfig
from yolact.config.mask_branch.roi import MaskIoUConfig, RoIMaskConfig

__all__ = [
    "BlendMaskConfig",
    "CustomMaskConfig",
    "DynamicMaskConfig",
    "FCMaskConfig",
    "MaskBranchConfig",
    "MaskIoUConfig",
    "NoMaskConfig",
    "PrototypeConfig",
    "RescoringConfig",
    "RoIMaskConfig",
]

MaskBranchConfig = Annotated[
    Annotated[PrototypeConfig, Tag("prototypes")]
    | Annotated[FCMaskConfig, Tag("fc_mask")]
    | Annotated[DynamicMaskConfig, Tag("dynamic")]
    | Annotated[BlendMaskConfig, Tag("blend")]
    | Annotated[RoIMaskConfig, Tag("roi")]
    | Annotated[NoMaskConfig, Tag("none")]
    | Annotated[CustomMaskConfig, Tag(CUSTOM)],
    Discriminator(kind_of),
]
