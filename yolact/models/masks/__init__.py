"""Mask branches: the seam inside YOLACT where methods of making masks differ."""

from yolact.config.mask_branch import FCMaskConfig, NoMaskConfig, PrototypeConfig
from yolact.models.masks.fc_mask import FCMaskBranch
from yolact.models.masks.no_masks import NoMaskBranch
from yolact.models.masks.prototypes import PrototypeBranch
from yolact.models.one_stage.mask_branch import MaskBranch

__all__ = ["FCMaskBranch", "MaskBranch", "NoMaskBranch", "PrototypeBranch", "build_branch"]


def build_branch(config: PrototypeConfig | FCMaskConfig | NoMaskConfig, channels: int) -> MaskBranch:
    """The branch that `config` describes, on pyramid levels of `channels`."""
    if isinstance(config, PrototypeConfig):
        return PrototypeBranch(config, channels)
    if isinstance(config, NoMaskConfig):
        return NoMaskBranch()
    return FCMaskBranch(config)
