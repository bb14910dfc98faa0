"""CondInst's mask branch: a network per object."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from yolact.config.base import Config
from yolact.config.fields import Positive


class DynamicMaskConfig(Config):
    """CondInst: every object's own small network over shared mask features (`yolact/models/masks/condinst.py`).

    Defaults are the official code's. No mask is cropped, unless `crop` says so.
    """

    has_batch_norm: ClassVar[bool] = True

    kind: Literal["dynamic"] = "dynamic"
    features: Positive = 8
    """Channels of the mask features."""
    channels: Positive = 128
    """Channels inside the branch that makes them."""
    convs: Annotated[int, Field(ge=0)] = 4
    """3x3 convolutions of that branch after P3, P4, P5 are summed."""
    depth: Positive = 3
    """Layers of the dynamic network; 1 is a linear combination of the inputs, as YOLACT's, with a bias."""
    width: Positive = 8
    """Channels between its layers."""
    coordinates: bool = True
    """Each pixel's position relative to the object's location is input beside the mask features."""
    coordinate_unit: Annotated[float, Field(gt=0)] = 8
    """Relative positions are measured in this many widths of the location. A point's width is its stride, so that 8 gives the
    official 64, 128, 256, 512, 1024 pixels on P3 to P7."""
    upsample: Literal["aligned", "half_pixel"] = "aligned"
    """How maps are upsampled. Official quirk: "aligned" puts the value of pixel 8 i + 4 at pixel 8 i + 6 of the output at
    stride 4. "half_pixel" leaves it in its place."""
    output_stride: Literal[1, 2, 4, 8] = 4
    """Input pixels per pixel of the masks that are learned; the paper has 2, the official code 4."""
    max_masks_per_image: Positive = 250
    """Positives per image that enter the mask loss; the loss is scaled up by what was left out. The official code caps at 500
    per GPU, of two images."""
    loss_weight: Annotated[float, Field(ge=0)] = 1.0
    crop: bool = Field(default=False, exclude_if=lambda crop: not crop)
    """Zero each mask outside its box, as YOLACT does, plus one pixel of the output: the true box in the loss, the predicted one
    in inference."""

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """(outputs, inputs) of the dynamic network's layers."""
        widths = [self.features + 2 * self.coordinates, *[self.width] * (self.depth - 1), 1]
        return tuple((after, before) for before, after in pairwise(widths))
