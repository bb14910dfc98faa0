"""Mask branches: the seam inside YOLACT where methods of making masks differ."""

from yolact.branches.base import MaskBranch
from yolact.branches.fc_mask import FCMaskBranch
from yolact.branches.no_masks import NoMaskBranch
from yolact.branches.prototypes import PrototypeBranch
from yolact.config.model import FCMaskConfig, NoMaskConfig, PrototypeConfig

__all__ = ["FCMaskBranch", "MaskBranch", "NoMaskBranch", "PrototypeBranch", "build_branch"]


def build_branch(config: PrototypeConfig | FCMaskConfig | NoMaskConfig, channels: int) -> MaskBranch:
    """The branch that `config` describes, on pyramid levels of `channels`."""
    if isinstance(config, PrototypeConfig):
        return PrototypeBranch(config, channels)
    if isinstance(config, NoMaskConfig):
        return NoMaskBranch()
    return FCMaskBranch(config)
