"""The interface of a mask branch: how masks are made, whatever finds the objects.

n images, d instances, input of side S, P locations of the dense head, m parameters per location, (H, W) an original image.
Boxes are xyxy fractions of the input's side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from yolact.config.inference import InferenceConfig
from yolact.models.base import Counts
from yolact.models.layers.initialise import xavier
from yolact.ops.anchors import Sizes


class Instances(NamedTuple):
    """Instances whose masks are wanted: survivors of NMS in one image, or what the mask loss of a batch learns from."""

    image: Tensor
    """(d,) int64: index in the batch, ascending."""
    boxes: Tensor
    """(d, 4) predicted boxes, without gradient."""
    labels: Tensor
    """(d,) int64 in [0, C)."""
    scores: Tensor
    """(d,) in [0, 1]; 1 in the loss."""
    parameters: Tensor
    """(d, m) activated; m = 0 for branches that pool features."""
    locations: Tensor
    """(d, 4) cx, cy, w, h: the anchor or point that each comes from."""


@dataclass(frozen=True)
class Truth:
    """What the mask loss of a batch compares with: g objects, crowds excluded, image by image."""

    objects: Tensor
    """(d,) int64 in [0, g): the object of each instance."""
    boxes: Tensor
    """(g, 4)."""
    masks: Tensor
    """(g, S, S) uint8, 0 or 1."""
    per_image: Sequence[int]
    """Instances in each of the n images."""
    seeds: Sequence[int]
    """One per image; each drives any random choice among its image's instances."""
    labels: Tensor
    """(g,) int64 in [0, C)."""
    owner: Tensor
    """(g,) int64: the image of each object."""
    weights: Tensor | None = None
    """(d,) `DenseHead.weights` of the instances, for branches that are `weighted`."""

    def choose(self, cap: int) -> tuple[Tensor, list[int], Tensor]:
        """Instances that represent all: those of an image at random if it has more than `cap`. On the CPU.

        Returns:
            their indices (c,) int64, image by image; the number per image; for each, how many it stands for, (c,) float32.
        """
        kept = [_choose(count, cap, seed) for count, seed in zip(self.per_image, self.seeds, strict=True)]
        counts = [len(each) for each in kept]
        starts = accumulate(self.per_image, initial=0)
        scales = torch.tensor([count / max(1, each) for count, each in zip(self.per_image, counts, strict=True)])
        chosen = torch.cat([each + start for each, start in zip(kept, starts, strict=False)])
        return chosen, counts, torch.repeat_interleave(scales, torch.tensor(counts))


def _choose(count: int, cap: int, seed: int) -> Tensor:
    if count <= cap:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:cap]


class Masks(NamedTuple):
    """Masks of the instances of one image."""

    masks: Tensor
    """(d, H, W) bool."""
    scores: Tensor | None = None
    """(d,) float32 mask scores, if the branch re-scores."""


class MaskBranch(nn.Module):
    """Makes per-location parameters and shared context from features, gives its loss, assembles masks."""

    parameters_per_location: int
    """Outputs m of the dense head per location; 0 for branches that pool features of their own."""
    section: str | None
    """Name of the section in which `context` is timed; None if there is nothing to time."""
    image_size: int
    """Side S of the input; set by `build_branch`."""
    level_sizes: Sizes
    """(rows, columns) of the pyramid's levels; set by the model."""
    divisor: str = "positives"
    """Name of the count that divides the terms of `loss`."""
    weighted: bool = False
    """Whether `loss` weighs its instances by `Truth.weights`, so that the sum of these divides it in the place of `divisor`."""
    divisors: Mapping[str, str] = MappingProxyType({})
    """{term: name of the count that divides it}, of terms with another divisor."""
    after_suppression: tuple[str, ...] = ()
    """Names of its modules that `context` doesn't call; compiled graphs and exported files leave them out."""
    per_class: bool = False
    """Whether its layers depend on the number of classes; such a branch is made from that too."""
    class_layers: tuple[str, ...] = ()
    """Beginnings of the names of its weights whose shape depends on the number of classes."""
    map_count: int | None = None
    """Number k of the maps of the whole image that masks are made of, where `context` begins with such: (n, k, h, w)."""
    map_source: int = 5
    """The coarsest pyramid level that these maps are made of, 5 for P5."""
    context_names: tuple[str, ...] = ()
    """Names of the tensors of `context` in exported files; those without a name are context_0, context_1, ..."""

    def initialise(self) -> None:
        """Draw the weights."""
        self.apply(xavier)

    def context(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What masks need besides parameters, first dimension n: prototypes, bases, mask features, or nothing.

        Args:
            levels: (n, c, h, w) of the pyramid, finest first.
        """
        return ()

    def activate(self, raw: Tensor) -> Tensor:
        """Parameters (n, P, m) from the head's raw outputs of the same shape."""
        return raw

    def sample(
        self, positives: Instances, truth: Truth, propose: Callable[[InferenceConfig], Sequence[Instances]]
    ) -> tuple[Instances, Truth]:
        """What the loss learns from; by default the positive locations.

        Args:
            positives: q positive locations of the batch.
            truth: their objects.
            propose: called with thresholds and the kind of NMS, returns the current network's detections in each image, without
                gradient.
        """
        return positives, truth

    def counts(self, truth: Truth) -> Counts:
        """Further divisors that the loss of the positive locations needs."""
        return {}

    def loss(self, instances: Instances, context: tuple[Tensor, ...], truth: Truth) -> dict[str, Tensor]:
        """Weighted terms summed over the instances: float32 scalars, to be divided by the counts that `divisor` and
        `divisors` name.

        Must not fail on parameters or context that are not finite; the caller makes the loss non-finite then.
        """
        raise NotImplementedError

    def masks(
        self, instances: Instances, context: tuple[Tensor, ...], size: tuple[int, int], inference: InferenceConfig
    ) -> Masks:
        """Masks of the instances of one image.

        Args:
            instances: d survivors of NMS.
            context: of this image, without the batch dimension.
            size: (H, W) of the original image.
            inference: crop and threshold.
        """
        raise NotImplementedError
