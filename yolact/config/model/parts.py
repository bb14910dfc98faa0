"""What networks share: pixels, backbone, feature pyramid."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from yolact.config.base import Config, at_odds
from yolact.config.fields import FilePath, HasStandIn, Options, Positive, import_path

IMAGENET_MEAN = (123.68, 116.78, 103.94)
"""Mean of ImageNet's pixels, RGB in 0..255."""
IMAGENET_STD = (58.40, 57.12, 57.38)
PIXELS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "unit": ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "coco": ((119.85, 113.985, 104.04), (70.89, 69.87, 73.695)),
}
"""{`pixels` of a detector: (mean, standard deviation)}, RGB in 0..255."""


Blocks = Annotated[int, Field(ge=0)]
ImageSize = Annotated[int, Field(gt=0), HasStandIn("image_sizes")]
"""Side of the square input in pixels."""
Padding = Literal["zeros", "reflect", "replicate", "circular"]
"""What stands beyond a feature map's border, where a convolution reads it."""

BACKBONES = (
    *("resnet101", "resnet50", "resnet18", "darknet53", "mobilenet_v2", "swin_tiny", "resnet_tiny"),
    *("vovnet19_slim_dw", "vovnet19_slim", "vovnet19", "vovnet39", "vovnet57", "vovnet99", "vovnet_tiny"),
)
_RESNETS = tuple(name for name in BACKBONES if name.startswith("resnet"))


class DeformableConfig(Config):
    """Which 3x3 convolutions of a ResNet are deformable: `conv2` of its blocks (`yolact/models/backbones/deformable.py`).

    Defaults are those of YOLACT++ with ResNet-50: every block of C3, C4 and C5.
    """

    last_blocks: tuple[Blocks, Blocks, Blocks, Blocks] = (0, 4, 6, 3)
    """Of each of the four stages, the last so many blocks; more than there are means all of them."""
    interval: Positive = 1
    """Of these, those whose number in the stage, counted from 0, is a multiple of it."""
    modulated: bool = True
    """A learned factor in 0..1 per tap, one half at the start, as in the official code and weights. The paper leaves it out."""


class BackboneConfig(Config):
    """The feature extractor (`yolact/models/backbones/`)."""

    name: Annotated[str, HasStandIn("backbones")] = "resnet101"
    """One of BACKBONES, or the import path "package.module:function" of a builder."""
    weights: Annotated[str | None, FilePath(words=("imagenet",))] = "imagenet"
    """"imagenet" (torchvision's own weights, from its cache folder), a path to a state dict, or None (random)."""
    freeze_bn: bool = False
    """Keep batch-norm statistics and affine weights as loaded. The official code does so below 6 images per GPU."""
    width: Positive = 16
    """Channels of the first stage; read by `resnet_tiny` and `vovnet_tiny` only."""
    options: Options = Field(default_factory=dict)
    """Keyword arguments for a builder given by import path, which gets this configuration as its first argument."""
    deformable: DeformableConfig | None = Field(default=None, exclude_if=lambda value: value is None)
    """Deformable convolutions (YOLACT++); None has none."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in BACKBONES and ":" not in name:
            raise ValueError(f"unknown backbone {name!r}: choose one of {', '.join(BACKBONES)}, or package.module:function")
        return import_path(name) if ":" in name else name

    @model_validator(mode="after")
    def _options_are_read(self) -> BackboneConfig:
        if self.options and ":" not in self.name:
            message = f"options {sorted(self.options)} are for a builder given by import path; {self.name} takes none"
            raise at_odds(message, "name", *(f"options.{option}" for option in self.options))
        return self

    @model_validator(mode="after")
    def _can_be_deformable(self) -> BackboneConfig:
        if self.deformable is not None and self.name not in _RESNETS:
            message = f"deformable is for the 3x3 convolutions of {', '.join(_RESNETS)}; {self.name} has none of its kind"
            raise at_odds(message, "name", "deformable")
        return self


class FPNConfig(Config):
    """The feature pyramid P3..P7 (`yolact/models/necks/fpn.py`)."""

    channels: Positive = 256
    """Channels of every level."""
    extra_levels: Annotated[int, Field(ge=0, le=2)] = 2
    """Levels above P5, each a stride-2 convolution of the one below: 2 gives P6 and P7."""
    extra_from: Literal["P5", "C5"] = "P5"
    """What P6 is made of: P5 after its ReLU (official code), or the backbone's C5, as RetinaNet first had it."""
    # left out of plain data at their defaults, so that what describes an older network keeps its bytes
    upsample: Literal["bilinear", "nearest"] = Field(default="bilinear", exclude_if=lambda value: value == "bilinear")
    """From a level to the finer one: bilinear (YOLACT), or nearest (the FPN paper, and FCOS)."""
    relu: bool = Field(default=True, exclude_if=lambda value: value)
    """ReLU after the outputs P3, P4, P5 (YOLACT). Without, P7 is made of P6 after a ReLU, as RetinaNet and FCOS do."""


class SemanticFormConfig(Config):
    """Form of the semantic segmentation on P3 that is learned beside a detector (`yolact/models/one_stage/semantic.py`)."""

    # left out of plain data at their defaults, so that what describes an older network keeps its bytes
    semantic_form: Literal["classes", "painted"] = Field(default="classes", exclude_if=lambda form: form == "classes")
    """"classes" (YOLACT): a 1x1 convolution, for each class a sigmoid against the union of its masks. "painted" (BlendMask):
    3x3 convolutions with batch norm, then a softmax over classes and background. Official quirks: the last annotation that
    covers a pixel counts, crowds are painted too, and of each cell of P3 the top left pixel is read."""
    semantic_channels: Positive = Field(default=128, exclude_if=lambda channels: channels == 128)
    """Channels of the two convolutions; read by "painted" only."""
