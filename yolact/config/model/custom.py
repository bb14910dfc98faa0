"""A network of the user's own."""

from __future__ import annotations

from pydantic import Field

from yolact.config.fields import ImportPath, Options
from yolact.config.model.base import AnyModelConfig
from yolact.config.model.parts import ImageSize


class CustomModelConfig(AnyModelConfig):
    """A network of the user's own, imported where it is built."""

    kind: ImportPath
    """Import path "package.module:Name" of its class, a `yolact.models.base.Model`."""
    image_size: ImageSize = 550
    """Side of the square input in pixels."""
    options: Options = Field(default_factory=dict)
    """Keyword arguments of that class."""
