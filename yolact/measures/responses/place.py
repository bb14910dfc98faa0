"""How far the place in the image says what a prototype's activation is, whatever the image shows, and whether one line does.

Shapes: I images, k prototypes; the grid of prototypes (h, w) is averaged to CELLS x CELLS cells at most.
An image is always compared with what the *other* images show at the same place, so that chance gives 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from yolact.measures.responses.regions import Regions

CELLS = 16
MARGIN = 0.2
"""A boundary leaves at least this share of the pixels on either side: the strip along the border that padding reaches is no
partition."""
AXES = ("x", "y")
EMPTY = 1e-9
"""A share of a cell below this is none."""


@dataclass(frozen=True)
class Split:
    """The best boundary along one axis, and what it explains."""

    side: Tensor
    """(I, k) correlation of each image with being before the boundary (left of it, above it) that the other images give."""
    boundary: Tensor
    """(k,) of all images, as a fraction of the side; NaN where there is none."""


Cells = tuple[Tensor, Tensor]
"""(k, g, g) activation summed over each cell, and (g, g) the pixels that were summed over, as a share of the cell."""


@dataclass
class Places:
    """Collects images one by one."""

    everything: list[Cells] = field(default_factory=list)
    """Each whole image, once the difference between objects and background is taken out, so that where objects tend to lie
    doesn't count."""
    objects: list[Cells] = field(default_factory=list)
    """The pixels of objects alone."""

    def add(self, maps: Tensor, where: Regions) -> None:
        """Prototypes (k, h, w) of one image."""
        maps = maps.double()
        left = maps - torch.where(where.inside, _mean(maps, where.inside), _mean(maps, where.outside))
        self.everything.append(_cells(left, where.counted))
        self.objects.append(_cells(maps, where.inside))


def _mean(maps: Tensor, region: Tensor) -> Tensor:
    """(k, 1, 1)"""
    return (maps * region).sum((1, 2), keepdim=True) / region.sum().clamp(min=1)


def _cells(maps: Tensor, region: Tensor) -> Cells:
    size = (min(CELLS, maps.shape[-2]), min(CELLS, maps.shape[-1]))
    pooled = F.adaptive_avg_pool2d(torch.cat([maps * region, region[None].double()]), size)
    return pooled[:-1], pooled[-1]


def place(images: list[Cells]) -> Tensor:
    """(I, k) correlation of each image with the mean map of the others, over the cells that both have."""
    sums, counts = _stacked(images)
    rest, seen = sums.sum(0) - sums, counts.sum(0) - counts
    expected = rest / seen.clamp(min=EMPTY)
    weight = counts * (seen > EMPTY)
    found = sums / counts.clamp(min=EMPTY)
    return _weighted_correlation(found, expected, weight)


def split(images: list[Cells], axis: str) -> Split:
    """The best boundary along "x" (a vertical line) or "y" (a horizontal one)."""
    sums, counts = _stacked(images)
    across = -2 if axis == "x" else -1
    line, pixels = sums.sum(across), counts.sum(across)  # (I, k, g), (I, 1, g)
    chosen = _best(line.sum(0) - line, pixels.sum(0) - pixels)  # (I, k)
    before, pixels_before = line.cumsum(-1)[..., :-1], pixels.cumsum(-1)[..., :-1]
    total, all_pixels = line.sum(-1, keepdim=True), pixels.sum(-1, keepdim=True)
    after, pixels_after = total - before, all_pixels - pixels_before
    apart = before / pixels_before - after / pixels_after  # NaN or infinite where one side is empty
    mean = total / all_pixels
    variance = ((sums**2 / counts.clamp(min=EMPTY)).sum((-1, -2)) / all_pixels[..., 0] - mean[..., 0] ** 2).clamp(min=0)
    r = apart * (pixels_before * pixels_after).sqrt() / all_pixels / variance.sqrt()[..., None]
    least = torch.minimum(pixels_before, pixels_after) < MARGIN * all_pixels / 2
    r = torch.where(least.expand_as(r), torch.nan, r)
    r = torch.where((variance <= 1e-12 * (sums**2).mean((-1, -2)).clamp(min=1e-300))[..., None] & ~r.isnan(), 0.0, r)
    side = r.gather(-1, chosen[..., None])[..., 0]
    place_of_all = _best(line.sum(0, keepdim=True), pixels.sum(0, keepdim=True))[0]
    return Split(side, (place_of_all + 1) / line.shape[-1])


def _best(line: Tensor, pixels: Tensor) -> Tensor:
    """(..., k) index of the last cell before the boundary with most variance between its sides."""
    before, pixels_before = line.cumsum(-1)[..., :-1], pixels.cumsum(-1)[..., :-1]
    total, all_pixels = line.sum(-1, keepdim=True), pixels.sum(-1, keepdim=True)
    pixels_after = all_pixels - pixels_before
    apart = before / pixels_before.clamp(min=EMPTY) - (total - before) / pixels_after.clamp(min=EMPTY)
    between = pixels_before * pixels_after * apart**2
    allowed = torch.minimum(pixels_before, pixels_after) >= MARGIN * all_pixels
    return torch.where(allowed, between, -1.0).argmax(-1)


def _stacked(images: list[Cells]) -> tuple[Tensor, Tensor]:
    """(I, k, g, g) and (I, 1, g, g)"""
    return torch.stack([sums for sums, _ in images]), torch.stack([counts for _, counts in images])[:, None]


def _weighted_correlation(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """(I, k) over cells; 0 where one of the two is flat, NaN without weight."""
    total = weight.sum((-1, -2), keepdim=True)
    centred = [x - (x * weight).sum((-1, -2), keepdim=True) / total for x in (a, b)]
    both, first, second = ((x * y * weight).sum((-1, -2)) for x, y in
                           ((centred[0], centred[1]), (centred[0], centred[0]), (centred[1], centred[1])))  # fmt: skip
    scale = (first * second).sqrt()
    r = torch.where(scale > 0, both / scale.clamp(min=1e-300), torch.zeros_like(both))
    return torch.where(total[..., 0, 0] > 0, r, torch.nan)
