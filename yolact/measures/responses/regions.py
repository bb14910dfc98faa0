"""Ground truth as regions of the prototypes' grid: inside and outside of objects, the band along their contours, their sides.

Shapes: n objects, (h, w) the prototypes' grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from yolact.ops.masks import downsample

BAND = 1 / 64
"""Half the width of the band along contours, as a fraction of the grid's side; at least one pixel."""


@dataclass(frozen=True)
class Regions:
    """Where the objects of one image are. Pixels of crowds belong to no region."""

    objects: Tensor
    """(n, h, w) bool, crowds left out, each with at least one pixel."""
    inside: Tensor
    """(h, w) bool: in some object."""
    outside: Tensor
    """(h, w) bool: in none."""
    band: Tensor
    """(h, w) bool: along some object's contour, on both sides of it."""

    @property
    def interior(self) -> Tensor:
        """(h, w) bool: in an object, off the band."""
        return self.inside & ~self.band

    @property
    def exterior(self) -> Tensor:
        """(h, w) bool: in no object, off the band."""
        return self.outside & ~self.band

    @property
    def counted(self) -> Tensor:
        """(h, w) bool: all but crowds."""
        return self.inside | self.outside


def regions(masks: Tensor, crowd: Tensor, size: tuple[int, int]) -> Regions:
    """The regions of masks (n, H, W) 0 or 1, of which `crowd` (n,) bool are crowds, on a grid of `size` (h, w).

    Masks come to the grid as they do in training. An object too small for any of its pixels is left out.
    """
    small = downsample(masks, size).bool() if masks.shape[-2:] != size else masks.bool()
    crowds = small[crowd].any(0)
    objects = small[~crowd]
    objects = objects[objects.flatten(1).any(1)]
    radius = max(1, round(BAND * size[0]))
    inside = objects.any(0)
    band = (_grown(objects, radius) & _grown(~objects, radius)).any(0)
    return Regions(objects, inside, ~inside & ~crowds, band & (inside | ~crowds))


def nowhere(size: tuple[int, int]) -> Regions:
    """Of an image without ground truth: every region is empty."""
    empty = torch.zeros(size, dtype=torch.bool)
    return Regions(empty[None][:0], empty, empty, empty)


def _grown(masks: Tensor, radius: int) -> Tensor:
    """(n, h, w) bool: every pixel with a pixel of the mask within `radius` along both axes."""
    if not len(masks):
        return masks
    return F.max_pool2d(masks[None].float(), 2 * radius + 1, 1, radius)[0].bool()


def sides(objects: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Every object's pixels with their place in the object.

    Returns:
        (m,) index of the object, (m,) flat index of the pixel, (m, 2) place (x, y): -1 at the left or upper end of the object's
        extent, 1 at the right or lower end. m counts the pixels of all objects (n, h, w).
    """
    owner, row, column = objects.nonzero(as_tuple=True)
    places = []
    for along in (column, row):
        values = along.float()
        first = torch.full((len(objects),), torch.inf).scatter_reduce(0, owner, values, "amin")
        last = torch.full((len(objects),), -torch.inf).scatter_reduce(0, owner, values, "amax")
        middle, half = (first + last) / 2, (last - first).clamp(min=1) / 2
        places.append((values - middle[owner]) / half[owner])
    return owner, row * objects.shape[-1] + column, torch.stack(places, dim=1)
