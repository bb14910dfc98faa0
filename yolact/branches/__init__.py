"""Mask branches: the seam inside YOLACT where methods of making masks differ."""

from yolact.branches.base import MaskBranch
from yolact.branches.fc_mask import FCMaskBranch
from yolact.branches.prototypes import PrototypeBranch
from yolact.config.model import FCMaskConfig, PrototypeConfig

__all__ = ["FCMaskBranch", "MaskBranch", "PrototypeBranch", "build_branch"]


def build_branch(config: PrototypeConfig | FCMaskConfig, channels: int) -> MaskBranch:
    """The branch that `config` describes, on pyramid levels of `channels`."""
    if isinstance(config, PrototypeConfig):
        return PrototypeBranch(config, channels)
    return FCMaskBranch(config)
