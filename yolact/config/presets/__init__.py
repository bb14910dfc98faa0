"""Every published configuration, as literal values: one file per family.

A preset is what it takes to train and run one published model: `model`, `training`, `inference`, and the number of classes.
"""

from __future__ import annotations

from yolact.config.base import ConfigError, nearest
from yolact.config.presets import (
    adelaidet,
    boxes,
    centermask,
    mask2former,
    single_map,
    single_shot,
    solo,
    two_stage,
    yolact,
    yolact_plus,
)
from yolact.config.presets.preset import COCO_CLASSES, PASCAL_CLASSES, Preset

__all__ = ["COCO_CLASSES", "PASCAL_CLASSES", "PRESETS", "Preset", "preset"]

_FAMILIES = (
    yolact,
    yolact_plus,
    adelaidet,
    single_map,
    boxes,
    centermask,
    mask2former,
    single_shot,
    solo,
    two_stage,
)
PRESETS: dict[str, Preset] = {each.name: each for family in _FAMILIES for each in family.PRESETS}


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ConfigError: there is none; the message names the nearest.
    """
    if name not in PRESETS:
        raise ConfigError(f"unknown preset {name!r}{nearest(name, sorted(PRESETS))}", "preset")
    return PRESETS[name]
