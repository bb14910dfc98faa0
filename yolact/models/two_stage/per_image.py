"""A detector whose loss is a mean over images, each with draws of its own.

n images, S the input's side, C classes without background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from yolact.config.model.parts import IMAGENET_MEAN, IMAGENET_STD
from yolact.config.model.two_stage import TwoStageConfig
from yolact.models.base import Counts, Model
from yolact.structures import Target

Truth = dict[str, Tensor]
"""An image's `boxes` (g, 4), `labels` (g,) in [1, C] and `masks` (g, S, S) uint8, as torchvision's parts expect them."""


@dataclass(frozen=True)
class ImageTargets:
    """The targets of a batch."""

    targets: Sequence[Target]
    counts: Counts
    """`images`."""


class PerImage(Model):
    """A kind of detector names its `body` and writes `forward`, `image_loss` and `postprocess`."""

    config: TwoStageConfig  # type: ignore[assignment]  # the common class of some of the union's

    def __init__(self, config: TwoStageConfig, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.image_size = config.image_size
        self.num_classes = num_classes
        self.register_pixels(IMAGENET_MEAN, IMAGENET_STD)

    @property
    def body(self) -> nn.Module:
        """The backbone, whose batch norm may be frozen."""
        raise NotImplementedError

    def image_loss(self, raw: Any, truth: Truth, images: float) -> dict[str, Tensor]:
        """Terms of one image; called with torch's generator at the image's own seed.

        Args:
            raw: float32 outputs of `forward` for one image, n = 1.
            truth: of the image; without objects, its tensors are empty.
            images: what the terms will be divided by.
        """
        raise NotImplementedError

    @property
    def frozen(self) -> nn.Module | None:
        return self.body if self.config.backbone.freeze_bn else None

    def assign(self, targets: Sequence[Target]) -> ImageTargets:
        """The targets as they are: the stages match them with what they propose."""
        return ImageTargets(targets, {"images": len(targets)})

    def criterion(self, raw: Any, assignment: ImageTargets, counts: Counts | None = None) -> dict[str, Tensor]:
        """Terms of `image_loss`: their sum over these images by the count of images.

        Finite for images without objects. The same in either mode of the module, but for batch norm.
        """
        images = max(1, (counts or assignment.counts)["images"])
        with torch.autocast(self.device.type, enabled=False):
            losses = [
                self._seeded(image_outputs(raw, index), target, images) for index, target in enumerate(assignment.targets)
            ]
        return {name: torch.stack([loss[name] for loss in losses]).sum() / images for name in losses[0]}

    def _seeded(self, raw: Any, target: Target, images: float) -> dict[str, Tensor]:
        """The terms of one image; what is sampled is drawn from the target's seed."""
        device = target.boxes.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(target.seed)
            return self.image_loss(raw, learned(target), images)


def image_outputs(raw: Any, index: int) -> Any:
    """The raw outputs of one image, n = 1, in float32."""
    return tree_map_only(Tensor, lambda part: part[index : index + 1].float(), raw)


def learned(target: Target) -> Truth:
    """The objects that are no crowd and whose box has an area, without which its regression target is infinite."""
    kept = ~target.crowd & (target.boxes[:, 2:] > target.boxes[:, :2]).all(dim=1)
    return {"boxes": target.boxes[kept], "labels": target.labels[kept] + 1, "masks": target.masks[kept]}
