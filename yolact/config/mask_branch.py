"""Mask branches: how masks are made, and the loss that they are trained with."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from yolact.config.base import Config, kind_of
from yolact.config.fields import CUSTOM, ImportPath, Options, Positive


class PrototypeConfig(Config):
    """Linear combination of prototypes, YOLACT's own mask branch (`yolact/models/masks/prototypes.py`)."""

    kind: Literal["prototypes"] = "prototypes"
    k: Positive = 32
    """Number of prototypes, hence of coefficients per anchor."""
    source: Annotated[int, Field(ge=3, le=7)] = 3
    """Pyramid level the protonet hangs on: 3 is P3."""
    channels: Positive = 256
    """Channels inside the protonet."""
    depth: Positive = 3
    """3x3 convolutions before the upsampling by two."""
    prototype_activation: Literal["relu", "none"] = "relu"
    coefficient_activation: Literal["tanh", "none"] = "tanh"
    crop_in_loss: bool = True
    """Zero each mask outside its ground-truth box (plus `crop_padding`) and divide its loss by the box's area."""
    crop_padding: Annotated[int, Field(ge=0)] = 1
    """Padding of that crop in prototype pixels."""
    loss_weight: Annotated[float, Field(ge=0)] = 6.125
    max_masks_per_image: Positive = 100
    """Positives per image that enter the mask loss; the loss is scaled up by what was left out."""


class FCMaskConfig(Config):
    """The fc-mask baseline: every anchor predicts its own small mask (`yolact/models/masks/fc_mask.py`)."""

    kind: Literal["fc_mask"] = "fc_mask"
    size: Positive = 16
    """Side of the predicted mask in pixels; the paper's row most likely used 20."""
    loss_weight: Annotated[float, Field(ge=0)] = 0.05
    crop_box: Literal["predicted", "ground_truth"] = "predicted"
    """The box the target is cut from: the decoded prediction (official code) or the ground truth."""


class DynamicMaskConfig(Config):
    """CondInst: every object's own small network over shared mask features (`yolact/models/masks/condinst.py`).

    Defaults are the official code's. No mask is cropped.
    """

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

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """(outputs, inputs) of the dynamic network's layers."""
        widths = [self.features + 2 * self.coordinates, *[self.width] * (self.depth - 1), 1]
        return tuple((after, before) for before, after in pairwise(widths))


class NoMaskConfig(Config):
    """No masks: the detector learns boxes and classes only (`yolact/models/one_stage/model.py`)."""

    kind: Literal["none"] = "none"


class CustomMaskConfig(Config):
    """A mask branch of the user's own, imported where the network is built."""

    kind: ImportPath
    """Import path "package.module:Name" of its class."""
    options: Options = Field(default_factory=dict)
    """Keyword arguments of that class."""


MaskBranchConfig = Annotated[
    Annotated[PrototypeConfig, Tag("prototypes")]
    | Annotated[FCMaskConfig, Tag("fc_mask")]
    | Annotated[DynamicMaskConfig, Tag("dynamic")]
    | Annotated[NoMaskConfig, Tag("none")]
    | Annotated[CustomMaskConfig, Tag(CUSTOM)],
    Discriminator(kind_of),
]
