"""The interface of a dense head: where objects may be, at P fixed locations of the input.

n images, S the input's side, P locations, K class logits and m mask parameters per location, C classes without background.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from yolact.config.base import Config
from yolact.models.base import Counts
from yolact.models.layers.initialise import xavier
from yolact.ops.anchors import Sizes
from yolact.ops.matching import Matches
from yolact.structures import Target


class Dense(NamedTuple):
    """Outputs of a dense head."""

    box: Tensor
    """(n, P, 4) box regression in the head's own encoding."""
    logits: Tensor
    """(n, P, K) class logits."""
    parameters: Tensor
    """(n, P, m) mask parameters; m = 0 without masks."""
    quality: Tensor | None
    """(n, P) logits of localisation quality (centerness), if the head predicts any."""


@dataclass(frozen=True)
class Assignment:
    """The locations of a batch matched with its objects, crowds excluded: q positives, g objects, image by image."""

    classes: Tensor
    """(n, P) int64: -1 neutral, 0 background, label + 1 for a positive."""
    image: Tensor
    """(q,) int64 in [0, n), ascending."""
    location: Tensor
    """(q,) int64 in [0, P)."""
    objects: Tensor
    """(q,) int64 in [0, g)."""
    per_image: list[int]
    """Positives in each image."""
    boxes: Tensor
    """(g, 4) xyxy fractions of the input's side."""
    labels: Tensor
    """(g,) int64 in [0, C)."""
    masks: Tensor
    """(g, S, S) uint8, 0 or 1."""
    owner: Tensor
    """(g,) int64 in [0, n): the image of each object."""
    seeds: list[int]
    """One per image, for random choices in the loss."""
    counts: Counts
    """`positives` and `images`, and what the head adds."""
    painted: Tensor | None = None
    """(n, h, w) int64, what `semantic.paint` gives, where the semantic segmentation is of that form."""

    @classmethod
    def of(cls, targets: Sequence[Target], matches: Sequence[Matches], image_size: int) -> Assignment:
        """Gather the positives. Synchronises with the device, since their number is data."""
        real = [~target.crowd for target in targets]
        classes = torch.stack([matched.classes for matched in matches])
        positive = classes > 0
        image, location = positive.nonzero(as_tuple=True)
        boxes = [target.boxes[own] / image_size for target, own in zip(targets, real, strict=True)]
        first = torch.tensor([0, *accumulate(len(own) for own in boxes)], device=image.device)
        per_image = positive.sum(dim=1).tolist()
        return cls(
            classes,
            image,
            location,
            torch.stack([matched.objects for matched in matches])[image, location] + first[image],
            per_image,
            torch.cat(boxes),
            torch.cat([target.labels[own] for target, own in zip(targets, real, strict=True)]),
            torch.cat([target.masks[own] for target, own in zip(targets, real, strict=True)]),
            torch.cat(
                [torch.full_like(target.labels[own], i) for i, (target, own) in enumerate(zip(targets, real, strict=True))]
            ),
            [target.seed for target in targets],
            {"positives": sum(per_image), "images": len(targets)},
        )


class DenseHead(nn.Module):
    """Predicts a box, classes, and mask parameters at every location of the pyramid."""

    config: Config
    class_layers: tuple[str, ...] = ("classification",)
    """Beginnings of the names of weights whose shape depends on the number of classes."""
    classifier: str = "classification"
    """Name of the layer that makes the class logits, or of one that makes some of them."""
    level_sizes: Sizes
    """Of the maps that it reads."""
    locations: Tensor
    """(P, 4) float32 cx, cy, w, h fractions of the input's side; for a point, w and h are its stride. Not stored."""

    def register_locations(self, sizes: Sizes, make: Callable[[], Tensor]) -> None:
        """Set `level_sizes`, and `locations` as a buffer that isn't stored with the weights; real values also under
        `torch.device("meta")`."""
        self.level_sizes = sizes
        device = torch.get_default_device()
        with torch.device("cpu" if device.type == "meta" else device):
            self.register_buffer("locations", make(), persistent=False)

    @property
    def level_counts(self) -> list[int]:
        """Locations on each level."""
        cells = [rows * columns for rows, columns in self.level_sizes]
        return [len(self.locations) // sum(cells) * each for each in cells]

    def decoding(self) -> Any:
        """What `decode` and `scores` depend on besides their arguments: equal values mean equal functions."""
        return self.config.essence()

    def initialise(self) -> None:
        """Draw the weights."""
        self.apply(xavier)

    def forward(self, levels: Sequence[Tensor], masks: bool = True) -> Dense:
        """Predict from pyramid levels (n, c, h, w), finest first; without masks, no mask parameters.

        Locations run level by level and row by row; those of a cell stand side by side.
        """
        raise NotImplementedError

    def decode(self, box: Tensor, locations: Tensor) -> Tensor:
        """(..., 4) xyxy fractions from regressions (..., 4) at locations (..., 4)."""
        raise NotImplementedError

    def scores(self, logits: Tensor, quality: Tensor | None) -> Tensor:
        """(..., P, C) foreground scores in [0, 1] from logits (..., P, K) and quality (..., P)."""
        raise NotImplementedError

    def assign(self, targets: Sequence[Target]) -> list[Matches]:
        """Match the locations with each target's objects; indices count the objects of an image without its crowds."""
        raise NotImplementedError

    def counts(self, assignment: Assignment) -> Counts:
        """Further divisors that the head's loss needs."""
        return {}

    def weights(self, assignment: Assignment) -> Tensor:
        """(q,) float32: what the positives weigh in losses that heed how well a location is placed in its object."""
        return torch.ones_like(assignment.location, dtype=torch.float32)

    def weights_sum(self, counts: Counts) -> float:
        """The sum of `weights` over all images that were counted, which divides such losses; above 0."""
        return max(1, counts["positives"])

    def observed(self) -> list[float]:
        """See `yolact.models.base.Model.observed`."""
        return []

    def update(self, sums: Sequence[float]) -> None:
        """See `yolact.models.base.Model.update`."""

    def loss(self, dense: Dense, assignment: Assignment, counts: Counts) -> dict[str, Tensor]:
        """Weighted terms, float32 scalars, finite also if no location of the batch is positive."""
        raise NotImplementedError


def objects_of(targets: Sequence[Target], image_size: int) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Per image: boxes (n, 4) and labels (n,) of objects, and boxes (m, 4) of crowds; xyxy fractions of the input's side."""
    boxes = [target.boxes / image_size for target in targets]
    pairs = list(zip(boxes, targets, strict=True))
    return (
        [own[~target.crowd] for own, target in pairs],
        [target.labels[~target.crowd] for target in targets],
        [own[target.crowd] for own, target in pairs],
    )


def first_of_image(owner: Tensor) -> Tensor:
    """(g,) int64: index of the first object of each object's image, whose number is `owner` (g,), ascending."""
    return torch.searchsorted(owner, owner)


def rows(maps: Tensor, columns: int) -> Tensor:
    """(n, a * columns, h, w) outputs of a convolution as (n, h * w * a, columns)."""
    return maps.permute(0, 2, 3, 1).reshape(maps.shape[0], -1, columns)
