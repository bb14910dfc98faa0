"""The generated data set `shapes` (`yolact/data/synthetic/shapes.py`): these fields alone decide every byte of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from yolact.config.base import Config
from yolact.config.fields import Positive


class ShapesConfig(Config):
    """Geometric shapes on textured ground, with masks."""

    image_size: Annotated[int, Field(ge=64, le=1024)] = 128
    """Side of the square images in pixels; shapes grow with it."""
    train: Positive = 1000
    """Images of the training split."""
    val: Positive = 100
    test: Positive = 200
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    version: Literal[1] = 1
    """Of the generator: bumped by hand whenever the same fields would give other bytes."""
