"""What planning reads of every network, and what all one-stage detectors share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from yolact.config.base import Config, at_odds
from yolact.config.mask_branch import MaskBranchConfig, NoMaskConfig, PrototypeConfig, RoIMaskConfig
from yolact.config.model.parts import BackboneConfig, FPNConfig, ImageSize, Padding


class AnyModelConfig(Config):
    """What planning reads of every kind of network."""

    shares_forward_pass: ClassVar[bool] = False
    """Whether one forward pass serves inference settings that differ after the network only."""
    relative_cost: ClassVar[float] = 1
    """Training time relative to YOLACT's at the same image size, roughly."""
    inference_defaults: ClassVar[Mapping[str, Any]] = {}
    """Fields of `InferenceConfig` that this network needs another value of than the default."""

    @property
    def trains_batch_norm(self) -> bool:
        """Whether batch norm normalises by the batch while the network is trained; True where that is unknown."""
        return True


class AnyDetectorConfig(AnyModelConfig):
    """What all one-stage detectors share (`yolact/models/one_stage/model.py`); each adds neck, head, `mask_branch`, `loss`."""

    shares_forward_pass = True

    kind: str
    image_size: ImageSize = 550
    """Side of the square input in pixels; images are squashed to it, as the official code does."""
    pixels: Literal["imagenet", "unit", "coco"] = "imagenet"
    """Input normalisation: "imagenet" subtracts (123.68, 116.78, 103.94) and divides by (58.40, 57.12, 57.38) RGB,
    "unit" divides by 255 (DarkNet), "coco" takes COCO's own mean and deviation (CenterNet)."""
    padding: Padding = "zeros"
    """Of every convolution (`yolact/models/layers/padding.py`). The paper's networks pad with zeros, which mark the border."""
    backbone: BackboneConfig = BackboneConfig()

    @property
    def trains_batch_norm(self) -> bool:
        return not self.backbone.freeze_bn


class DetectorConfig(AnyDetectorConfig):
    """A one-stage detector on a feature pyramid."""

    kind: str
    fpn: FPNConfig = FPNConfig()

    @model_validator(mode="after")
    def _padding_is_possible(self) -> Self:
        if self.padding != "zeros" and self.backbone.deformable is not None:
            message = (
                f"deformable convolutions read zeros beyond the border: padding {self.padding!r} needs a backbone without them"
            )
            raise at_odds(message, "padding", "backbone.deformable")
        return self

    @model_validator(mode="after")
    def _masks_can_be_rescored(self) -> Self:
        branch = getattr(self, "mask_branch", None)
        if not isinstance(branch, PrototypeConfig) or branch.rescoring is None:
            return self
        side = branch.side(self.image_size)
        if not branch.rescoring.fits(side):
            message = (
                f"mask_branch.rescoring.channels lists {len(branch.rescoring.channels)} convolutions of stride 2, more than "
            )
            message += f"masks of {side} x {side} prototype pixels allow"
            raise at_odds(message, "mask_branch.rescoring.channels", "mask_branch.source", "image_size")
        return self

    @property
    def trains_batch_norm(self) -> bool:
        loss = getattr(self, "loss", None)
        semantic = getattr(loss, "semantic", 0) > 0 and getattr(loss, "semantic_form", "") == "painted"
        in_branch = getattr(getattr(self, "mask_branch", None), "has_batch_norm", False)
        return super().trains_batch_norm or in_branch or semantic


def refuse_masks(branch: MaskBranchConfig, why: str) -> None:
    """Raise an error if there is a mask branch."""
    if not isinstance(branch, NoMaskConfig):
        raise at_odds(
            f"mask_branch {branch.kind!r} does not fit this detector, {why}; choose 'none'", "kind", "mask_branch.kind"
        )


def check_source(branch: MaskBranchConfig, levels: int) -> None:
    """Raise an error if the protonet hangs on a level that the pyramid does not have, or regions are pooled from one."""
    if isinstance(branch, PrototypeConfig) and branch.source >= 3 + levels:
        message = f"mask_branch.source P{branch.source} is above the pyramid's P{2 + levels}"
        raise at_odds(message, "mask_branch.source", "fpn.extra_levels")
    if isinstance(branch, RoIMaskConfig) and branch.highest_level >= 3 + levels:
        message = f"mask_branch.highest_level {branch.highest_level} is above the pyramid's P{2 + levels}"
        raise at_odds(message, "mask_branch.highest_level", "fpn.extra_levels")
