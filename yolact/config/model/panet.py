"""PANet: Mask R-CNN with path aggregation, adaptive feature pooling and fully connected fusion."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from yolact.config.base import at_odds
from yolact.config.fields import Positive
from yolact.config.model.two_stage import RCNNConfig


class PANetConfig(RCNNConfig):
    """PANet (`yolact/models/two_stage/panet.py`). Its paper's ablations turn the parts off one by one.

    Defaults are those of the authors' PyTorch code, except that levels start at P3 and inputs are squares. Without all parts
    it is Mask R-CNN.
    """

    kind: Literal["panet"] = "panet"
    bottom_up: bool = True
    """Aggregate the pyramid from the finest level to the coarsest once more (`yolact/models/necks/path_aggregation.py`)."""
    adaptive_pooling: bool = True
    """Pool every region from all levels, and take the maximum of what a first layer per level makes of it. Without, a region
    is pooled from the level of its size."""
    fc_fusion: bool = True
    """Add a mask that a fully connected layer predicts for all classes alike to that of the convolutions."""
    heavy_head: bool = True
    """The box head has four 3x3 convolutions and one fully connected layer of `representation` units, not two such layers."""
    groups: Positive | None = 32
    """Groups of GroupNorm in the pyramid and in both heads, None for no norm. Official quirk: without it, the convolutions of
    `bottom_up` have no ReLU either."""

    @model_validator(mode="after")
    def _groups_divide(self) -> PANetConfig:
        widths = {"channels": self.channels}
        if self.fc_fusion:
            widths["half of channels"] = self.channels // 2
        if not self.heavy_head:
            widths["representation"] = self.representation
        for name, width in widths.items():
            if self.groups is not None and width % self.groups:
                raise at_odds(f"groups {self.groups} does not divide {name}, {width}", "groups", name.split()[-1])
        return self
