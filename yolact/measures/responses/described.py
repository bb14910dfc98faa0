"""Everything measured of a set of prototypes, image by image, and its summary per prototype.

Shapes: I images, k prototypes on a grid (h, w).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from yolact.measures.responses import association
from yolact.measures.responses.place import AXES, Places, place, split
from yolact.measures.responses.regions import Regions, nowhere

PER_IMAGE = (
    *("mean", "sd", "positive"),  # of its activation; `positive` is the share of pixels above 0
    *("objects", "contour", "direction_x", "direction_y"),  # `association`
    *("other_objects", "other_direction_x", "other_direction_y"),  # the same with the ground truth of another image
    *("iou_above", "iou_below", "iou_one"),  # `association.overlap`
    *("brightness", "edges", "edges_x", "edges_y"),  # `association.appearance`
    *("place", "place_objects"),  # `place`, over everything and over objects
    *("side_x", "side_y", "side_objects_x", "side_objects_y"),  # `split`
)
"""Measures of each prototype in each image."""
BOUNDARIES = ("boundary_x", "boundary_y", "boundary_objects_x", "boundary_objects_y")
"""Of each prototype over all images; `split`."""


@dataclass
class Described:
    """Collects images one by one."""

    places: Places = field(default_factory=Places)
    own: list[Tensor] = field(default_factory=list)
    """Per image (k, m) what needs no other image."""

    def add(self, maps: Tensor, where: Regions, image: Tensor, other: Regions | None = None) -> None:
        """One image.

        Args:
            maps: (k, h, w) float prototypes.
            where: its ground truth on the same grid.
            image: (3, H, W) uint8 of any size.
            other: the ground truth of another image, on the same grid; None leaves what needs it out.
        """
        self.places.add(maps, where)
        flat = maps.flatten(1).double()
        another = nowhere((maps.shape[-2], maps.shape[-1])) if other is None else other
        columns = [
            flat.mean(1),
            flat.std(1, correction=0),
            (flat > 0).double().mean(1),
            association.objects(maps, where),
            association.contour(maps, where),
            *association.direction(maps, where).T,
            association.objects(maps, another),
            *association.direction(maps, another).T,
            *association.overlap(maps, where).T,
            *association.appearance(maps, image).T,
        ]
        self.own.append(torch.stack(columns, dim=1))

    def finish(self) -> Description:
        """All measures. At least two images are needed, since each is compared with the others."""
        values, boundaries = [torch.stack(self.own)], []
        over = (self.places.everything, self.places.objects)
        values += [torch.stack([place(images) for images in over], dim=-1)]
        for images in over:
            splits = [split(images, axis) for axis in AXES]
            values.append(torch.stack([one.side for one in splits], dim=-1))
            boundaries += [one.boundary for one in splits]
        return Description(torch.cat(values, dim=-1), torch.stack(boundaries, dim=1))


@dataclass(frozen=True)
class Description:
    """What was measured."""

    values: Tensor
    """(I, k, measures) float64 in the order of PER_IMAGE; NaN where an image lacks what is asked for."""
    boundaries: Tensor
    """(k, 4) in the order of BOUNDARIES, as fractions of the side."""

    def summary(self) -> Iterator[dict[str, Any]]:
        """One row per prototype: for each measure its mean over images, the standard error of that mean (`<measure>_se`) and
        the images that have it (`<measure>_n`); NaN for none. `spread`: standard deviation over pixels as a fraction of the
        root mean square activation, of all images. The boundaries."""
        known = ~self.values.isnan()
        n = known.sum(0)
        mean = self.values.nansum(0) / n
        squares = torch.where(known, (self.values - mean) ** 2, 0.0).sum(0)
        error = (squares / (n - 1) / n).sqrt()
        level, spread = (self.values[:, :, PER_IMAGE.index(name)] for name in ("mean", "sd"))
        power = (level**2 + spread**2).mean(0)
        relative = torch.where(power > 0, ((spread**2).mean(0) / power).sqrt(), torch.zeros_like(power))
        for prototype in range(self.values.shape[1]):
            row: dict[str, Any] = {"prototype": prototype, "spread": float(relative[prototype])}
            for m, name in enumerate(PER_IMAGE):
                row[name], row[f"{name}_se"] = float(mean[prototype, m]), float(error[prototype, m])
                row[f"{name}_n"] = int(n[prototype, m])
            row |= dict(zip(BOUNDARIES, self.boundaries[prototype].tolist(), strict=True))
            yield row
