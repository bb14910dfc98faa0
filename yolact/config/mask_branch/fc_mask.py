"""The fc-mask baseline: a small mask per anchor."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from yolact.config.base import Config
from yolact.config.fields import Positive


class FCMaskConfig(Config):
    """The fc-mask baseline: every anchor predicts its own small mask (`yolact/models/masks/fc_mask.py`)."""

    kind: Literal["fc_mask"] = "fc_mask"
    size: Positive = 16
    """Side of the predicted mask in pixels; the paper's row most likely used 20."""
    loss_weight: Annotated[float, Field(ge=0)] = 0.05
    crop_box: Literal["predicted", "ground_truth"] = "predicted"
    """The box the target is cut from: the decoded prediction (official code) or the ground truth."""
