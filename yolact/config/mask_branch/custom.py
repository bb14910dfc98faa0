"""No mask branch, and one of the user's own."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from yolact.config.base import Config
from yolact.config.fields import ImportPath, Options


class NoMaskConfig(Config):
    """No masks: the detector learns boxes and classes only (`yolact/models/one_stage/model.py`)."""

    kind: Literal["none"] = "none"


class CustomMaskConfig(Config):
    """A mask branch of the user's own, imported where the network is built."""

    kind: ImportPath
    """Import path "package.module:Name" of its class."""
    options: Options = Field(default_factory=dict)
    """Keyword arguments of that class."""
