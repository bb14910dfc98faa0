"""How a prototype's activation goes with objects, their contours and sides, and with the image itself, in one image.

Shapes: k prototypes on a grid (h, w). Every measure is a correlation in [-1, 1], or an IoU in [0, 1], so that the scale and
offset of a prototype don't matter. It is 0 where the activation is flat and NaN where the image lacks what is asked for.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from yolact.measures.responses.regions import Regions, sides

BINS = 64
"""Steps of the threshold that Otsu's method chooses among, between a map's lowest and highest value."""
FEWEST = 4
"""Pixels that a region needs on either side of a comparison."""


def correlation(maps: Tensor, pattern: Tensor) -> Tensor:
    """(k,) Pearson correlation of each row of maps (k, p) with pattern (p,); 0 for a flat row, NaN for a flat pattern."""
    maps, pattern = maps.double(), pattern.double()
    a, b = maps - maps.mean(1, keepdim=True), pattern - pattern.mean()
    size, reach = a.norm(dim=1), b.norm()
    flat = size <= 1e-6 * maps.norm(dim=1)
    r = (a @ b) / (size * reach)
    r = torch.where(flat, torch.zeros_like(r), r)
    return r if reach > 0 else torch.full_like(r, torch.nan)


def two_regions(maps: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """(k,) correlation of maps (k, h, w) with being in `first` rather than `second`, (h, w) bool; NaN where one is tiny."""
    if min(first.sum(), second.sum()) < FEWEST:
        return torch.full((len(maps),), torch.nan, dtype=torch.float64)
    either = first | second
    return correlation(maps[:, either], first[either])


def objects(maps: Tensor, where: Regions) -> Tensor:
    """(k,) correlation with being inside an object: positive where objects light up, negative where the background does."""
    return two_regions(maps, where.inside, where.outside)


def contour(maps: Tensor, where: Regions) -> Tensor:
    """(k,) how much the band along contours stands out from both the inside and the outside of objects.

    The weaker of the two correlations (band against interior, band against exterior) where they have one sign; 0 where the band
    lies between the two, as it does for any blurred edge.
    """
    inner, outer = two_regions(maps, where.band, where.interior), two_regions(maps, where.band, where.exterior)
    weaker = torch.where(inner.abs() < outer.abs(), inner, outer)
    return torch.where(inner * outer <= 0, torch.zeros_like(weaker), weaker)


def direction(maps: Tensor, where: Regions) -> Tensor:
    """(k, 2) correlation with the place (x, y) inside objects, differences between objects taken out.

    (-, +) lights up at the lower left of objects. NaN without an object of FEWEST pixels.
    """
    owner, pixel, place = sides(where.objects)
    area = torch.bincount(owner, minlength=len(where.objects))
    large = area[owner] >= FEWEST
    if not large.any():
        return torch.full((len(maps), 2), torch.nan, dtype=torch.float64)
    owner, pixel, place = owner[large], pixel[large], place[large].double()
    values = maps.flatten(1)[:, pixel].double()
    means = torch.zeros(len(maps), len(area), dtype=torch.float64).index_add_(1, owner, values) / area
    centred = values - means[:, owner]
    centred[centred.norm(dim=1) <= 1e-6 * values.norm(dim=1)] = 0
    return torch.stack([correlation(centred, along) for along in place.T], dim=1)


def otsu(maps: Tensor) -> Tensor:
    """(k,) thresholds of maps (k, p) by Otsu's method (1979): the two sides' means lie as far apart as they can.

    The distance counts as the between-class variance. A flat map gets its own value, so that nothing is above it.
    """
    low, high = maps.amin(1, keepdim=True), maps.amax(1, keepdim=True)
    step = (high - low) / BINS
    bins = ((maps - low) / step.clamp(min=1e-30)).long().clamp(0, BINS - 1)
    count = torch.zeros(len(maps), BINS, dtype=torch.float64).scatter_add_(1, bins, torch.ones_like(maps, dtype=torch.float64))
    total = torch.zeros(len(maps), BINS, dtype=torch.float64).scatter_add_(1, bins, maps.double())
    below, sum_below = count.cumsum(1)[:, :-1], total.cumsum(1)[:, :-1]
    above, sum_above = count.sum(1, keepdim=True) - below, total.sum(1, keepdim=True) - sum_below
    apart = sum_below / below.clamp(min=1) - sum_above / above.clamp(min=1)
    best = (below * above * apart**2).argmax(1, keepdim=True)
    found = (low + (best + 1) * step).squeeze(1)
    return torch.where(high.squeeze(1) > low.squeeze(1), found, high.squeeze(1))


def overlap(maps: Tensor, where: Regions) -> Tensor:
    """(k, 3) IoU of the map above Otsu's threshold with all objects, of the map below it, and of the map above it with the
    single object that it meets best. Crowds are left out; NaN without objects."""
    if not where.inside.any():
        return torch.full((len(maps), 3), torch.nan, dtype=torch.float64)
    pixels = maps[:, where.counted]
    above = pixels > otsu(pixels)[:, None]
    inside, single = where.inside[where.counted][None], where.objects[:, where.counted]
    return torch.cat([_iou(above, inside), _iou(~above, inside), _iou(above, single).amax(1, keepdim=True)], dim=1)


def _iou(first: Tensor, second: Tensor) -> Tensor:
    """(k, n) IoU of masks (k, p) and (n, p)."""
    a, b = first.double(), second.double()
    both = a @ b.T
    return both / (a.sum(1)[:, None] + b.sum(1)[None] - both).clamp(min=1)


def appearance(maps: Tensor, image: Tensor) -> Tensor:
    """(k, 4) correlation with brightness, with the strength of its edges, and with its change to the right and downwards.

    Args:
        image: (3, H, W) uint8; brightness is the channels' mean, averaged over each prototype pixel.
    """
    grey = F.adaptive_avg_pool2d(image.float().mean(0)[None], (maps.shape[-2], maps.shape[-1]))
    framed = F.pad(grey[None], (1, 1, 1, 1), mode="replicate")[0, 0]
    right, down = framed[1:-1, 2:] - framed[1:-1, :-2], framed[2:, 1:-1] - framed[:-2, 1:-1]
    flat = maps.flatten(1)
    patterns = (grey[0], (right**2 + down**2).sqrt(), right, down)
    return torch.stack([correlation(flat, pattern.flatten()) for pattern in patterns], dim=1)
