"""Mask branches: one file per way of making masks. A new one is one file, and one line here."""

from __future__ import annotations

from yolact.config.base import Config
from yolact.config.mask_branch import (
    BlendMaskConfig,
    CustomMaskConfig,
    DynamicMaskConfig,
    FCMaskConfig,
    MaskBranchConfig,
    NoMaskConfig,
    PrototypeConfig,
    RoIMaskConfig,
)
from yolact.models.custom import construct
from yolact.models.masks.blendmask import BlendBranch
from yolact.models.masks.condinst import DynamicMaskBranch
from yolact.models.masks.fc_mask import FCMaskBranch
from yolact.models.masks.mask_branch import MaskBranch
from yolact.models.masks.prototypes import PrototypeBranch
from yolact.models.masks.roi import RoIMaskBranch

BRANCHES: dict[type[Config], type[MaskBranch]] = {
    PrototypeConfig: PrototypeBranch,
    FCMaskConfig: FCMaskBranch,
    DynamicMaskConfig: DynamicMaskBranch,
    BlendMaskConfig: BlendBranch,
    RoIMaskConfig: RoIMaskBranch,
}
"""Configuration class: branch class, made from the configuration, the channels of the pyramid and, if it is `per_class`, the
number of classes."""


def build_branch(config: MaskBranchConfig, channels: int, image_size: int, num_classes: int = 1) -> MaskBranch | None:
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
        made = BRANCHES[type(config)]
        branch = made(config, channels, *((num_classes,) if made.per_class else ()))
    branch.image_size = image_size
    return branch
