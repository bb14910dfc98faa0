"""Mask branches: one file per way of making masks. A new one is one file, and one line here."""

from __future__ import annotations

from yolact.config.mask_branch import (
    BlendMaskConfig,
    CustomMaskConfig,
    DynamicMaskConfig,
    FCMaskConfig,
    MaskBranchConfig,
    NoMaskConfig,
    PrototypeConfig,
)
from yolact.models.custom import construct
from yolact.models.masks.blend import BlendBranch
from yolact.models.masks.condinst import DynamicMaskBranch
from yolact.models.masks.fc_mask import FCMaskBranch
from yolact.models.masks.mask_branch import MaskBranch
from yolact.models.masks.prototypes import PrototypeBranch

BRANCHES = {
    PrototypeConfig: PrototypeBranch,
    FCMaskConfig: FCMaskBranch,
    DynamicMaskConfig: DynamicMaskBranch,
    BlendMaskConfig: BlendBranch,
}
"""Configuration class: branch class, made from the configuration and the channels of the pyramid."""


def build_branch(config: MaskBranchConfig, channels: int, image_size: int) -> MaskBranch | None:
    """The mask branch that `config` describes, on pyramid levels of `channels`; None for a detector of boxes only.

    A branch given by import path is called with (channels, **options).

    Raises:
        ConfigError: it can't be imported, or called with its options.
    """
    if isinstance(config, NoMaskConfig):
        return None
    if isinstance(config, CustomMaskConfig):
        branch = construct(config.kind, "model.mask_branch.kind", MaskBranch, (channels,), config.options)
    else:
        branch = BRANCHES[type(config)](config, channels)
    branch.image_size = image_size
    return branch
