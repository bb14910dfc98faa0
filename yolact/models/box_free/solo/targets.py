"""Which cells answer for which object, and the masks that they learn.

n images, K cells of all levels, level by level and row by row; g objects, q learned masks, input of side S.
Source: Wang et al., "SOLO" (ECCV 2020), section 3.3; the authors' `solo_head.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

from yolact.config.model.solo import CellMatchingConfig
from yolact.models.base import Counts
from yolact.ops.masks import centres_of_mass
from yolact.structures import Target

_REACH = 3
"""Most rows, and columns, of positive cells of an object on a level."""


@dataclass(frozen=True)
class CellAssignment:
    """The cells of a batch matched with its objects, crowds and objects without a mask excluded."""

    classes: Tensor
    """(n, K) int64: 0 background, label + 1 for a positive cell."""
    image: Tensor
    """(q,) int64 in [0, n), ascending: the image of each learned mask."""
    cell: Tensor
    """(q,) int64 in [0, K)."""
    objects: Tensor
    """(q,) int64 in [0, g)."""
    masks: Tensor
    """(g, S, S) uint8, 0 or 1."""
    counts: Counts
    """`positives`, cells that have an object; `masks`, how many are learned; `images`."""

    def parts(self, starts: Sequence[int]) -> Iterator[tuple[int, int, Tensor, Tensor]]:
        """Image, level, cells and objects of the learned masks, one level of an image at a time.

        Args:
            starts: the first cell of each level, and K.
        """
        level = torch.bucketize(self.cell, torch.tensor(starts[1:], device=self.cell.device), right=True)
        keys, counts = torch.unique_consecutive(self.image * len(starts) + level, return_counts=True)
        pairs = zip(self.cell.split(counts.tolist()), self.objects.split(counts.tolist()), strict=True)
        for key, (cell, objects) in zip(keys.tolist(), pairs, strict=True):
            yield key // len(starts), key % len(starts), cell, objects


def assign(targets: Sequence[Target], config: CellMatchingConfig, shared_cells: str, image_size: int) -> CellAssignment:
    """Match the cells with the objects of every image.

    Args:
        targets: one per image.
        config: grids, ranges of sizes, centre region.
        shared_cells: whether a cell that several objects claim learns the mask of the "last" one, or of "all".
        image_size: S.
    """
    total = sum(side * side for side in config.grids)
    classes, images, cells, objects, masks = [], [], [], [], []
    for number, target in enumerate(targets):
        learned = ~target.crowd & (target.masks.flatten(1).amax(dim=1) > 0)
        boxes, labels, own = target.boxes[learned], target.labels[learned], target.masks[learned]
        claimant, cell = claims(boxes, centres_of_mass(own), config, image_size)
        last = claimant.new_full((total,), -1).scatter_reduce_(0, cell, claimant, "amax")
        classes.append(torch.where(last >= 0, labels[last] + 1, 0) if len(labels) else torch.zeros_like(last))
        if shared_cells == "last":
            (cell,) = (last >= 0).nonzero(as_tuple=True)
            claimant = last[cell]
        images.append(torch.full_like(cell, number))
        cells.append(cell)
        objects.append(claimant)
        masks.append(own)
    before = accumulate((len(own) for own in masks), initial=0)
    matched = torch.stack(classes)
    image = torch.cat(images)
    return CellAssignment(
        matched,
        image,
        torch.cat(cells),
        torch.cat([each + start for each, start in zip(objects, before, strict=False)]),
        torch.cat(masks),
        {"positives": int((matched > 0).sum()), "masks": len(image), "images": len(targets)},
    )


def claims(boxes: Tensor, centres: Tensor, config: CellMatchingConfig, image_size: int) -> tuple[Tensor, Tensor]:
    """Pairs of an object (p,) and a cell (p,) that it makes positive; by level, then object, then cell.

    An object is learned on each level whose range contains the root of its box's area. There its cells are those that the
    centre region, a part of its box around its mask's centre of mass, reaches, but at most one beside the centre's own.

    Args:
        boxes: (g, 4) xyxy in input pixels.
        centres: (g, 2) x, y of the masks' centres of mass.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    size, half = sides.prod(dim=1).sqrt(), 0.5 * config.centre_region * sides
    found, start = [], 0
    step = torch.arange(_REACH, device=boxes.device)
    for count, (low, high) in zip(config.grids, config.scale_ranges, strict=True):
        corners = torch.stack([centres - half, centres, centres + half])  # (3, g, 2)
        first, middle, last = (corners * count / image_size).floor().long()
        first = torch.maximum(first, middle - 1).clamp(min=0)
        last = torch.minimum(last, middle + 1).clamp(max=count - 1)
        place = first[:, None] + step[:, None]  # (g, reach, 2) columns and rows
        there = (place <= last[:, None]) & ((size >= low) & (size <= high))[:, None, None]
        objects, row, column = (there[:, :, None, 1] & there[:, None, :, 0]).nonzero(as_tuple=True)
        found.append((objects, start + place[objects, row, 1] * count + place[objects, column, 0]))
        start += count * count
    objects, cells = (torch.cat(column) for column in zip(*found, strict=True))
    return objects, cells


def shrink(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """(g, S, S) 0/1 masks to (g, h, w) float 0/1: bilinear, then at least one half, as the official code rounds."""
    return (F.interpolate(masks[:, None].float(), size=size, mode="bilinear", align_corners=False)[:, 0] >= 0.5).float()
