"""BlendMask's mask branch: attention over a few bases."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from yolact.config.base import Config, at_odds
from yolact.config.fields import Positive


class BlendMaskConfig(Config):
    """BlendMask: every object's attention maps weigh a few bases inside its box (`yolact/models/masks/blendmask.py`).

    Defaults are the official code's. Masks are squares that are stretched over their boxes, so that `inference.crop` is not
    read.
    """

    has_batch_norm: ClassVar[bool] = True

    kind: Literal["blend"] = "blend"
    bases: Positive = 4
    """Maps K of the whole image, at a quarter of the input's resolution."""
    attention: Positive = 14
    """Side M of an object's attention maps, one per basis, which cover its box; 1 is one number per basis."""
    resolution: Positive = 56
    """Side R of the masks, to which bases are pooled and attention maps are upsampled."""
    channels: Positive = 128
    """Channels of the bottom module, which makes the bases of P3, P4 and P5."""
    convs: Annotated[int, Field(ge=0)] = 3
    """3x3 convolutions of the bottom module between the sum of the levels and the upsampling by two."""
    merge: Literal["softmax", "sum", "sigmoid"] = "softmax"
    """How attention weighs the bases at each pixel: by its softmax over the bases, or as it is ("sum"; with `attention: 1`
    YOLACT's linear combination). "sigmoid", which the paper has for a single basis, makes the mask the product of both
    sigmoids. Official quirk: the code takes the softmax there too, which is 1, so that attention has no effect."""
    attention_upsample: Literal["bilinear", "nearest"] = "bilinear"
    """From M to R, before the softmax. The paper's FCIS is one fixed basis per cell of a nearest upsampling."""
    clip_boxes: Literal["after_pooling", "before_pooling"] = "after_pooling"
    """When predicted boxes are clipped to the image. Official quirk: "after_pooling" squeezes the mask of a box that sticks out
    of the image into the clipped box. "before_pooling" makes the mask for the clipped box."""
    loss_weight: Annotated[float, Field(ge=0)] = 1.0

    @model_validator(mode="after")
    def _one_basis(self) -> BlendMaskConfig:
        if self.merge == "sigmoid" and self.bases != 1:
            message = f"merge sigmoid is for one basis, which has nothing to be weighed against; there are {self.bases} bases"
            raise at_odds(message, "merge", "bases")
        return self
