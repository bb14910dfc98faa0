"""CenterNet's head: a heat map per class whose peaks are objects' centres, and at each cell an offset and a size.

n images, P cells of the map, g objects, C classes; lengths are in pixels of the map. Source: Zhou et al., "Objects as Points"
(2019); CenterNet `models/networks/resnet_dcn.py`, `models/losses.py`, `models/decode.py`, `datasets/sample/ctdet.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolact.config.model import CenterNetConfig
from yolact.models.base import Counts
from yolact.models.layers.initialise import normal
from yolact.models.one_stage.dense_head import Assignment, Dense, DenseHead, first_of_image, rows
from yolact.models.one_stage.heads.centernet_targets import gaussian_radius, heat_map
from yolact.models.one_stage.losses import nan_if_any_nonfinite
from yolact.ops.anchors import Sizes
from yolact.ops.matching import Matches
from yolact.structures import Target

PRIOR_LOGIT = -2.19
"""Logit of every class in every cell before training: a probability of 0.1."""


class Centres(NamedTuple):
    """Where objects are learned."""

    centre: Tensor
    """(g, 2) x, y."""
    size: Tensor
    """(g, 2) w, h."""
    cell: Tensor
    """(g, 2) int64 x, y."""
    learned: Tensor
    """(g,) bool."""

    def location(self, side: int) -> Tensor:
        """(g,) int64 in [0, P)."""
        return self.cell[:, 1] * side + self.cell[:, 0]


class CenterHead(DenseHead):
    """For every cell: offset of the centre and size, C class logits. A location is a cell's corner, its w and h the stride."""

    config: CenterNetConfig

    def __init__(self, config: CenterNetConfig, num_classes: int, parameters_per_location: int, sizes: Sizes) -> None:
        super().__init__()
        self.config, self.side = config, sizes[0][0]
        channels, hidden = config.neck.widths[-1], config.head.channels
        self.class_tower, self.offset_tower, self.size_tower = (
            nn.Sequential(nn.Conv2d(channels, hidden, 3, padding=1), nn.ReLU()) for _ in range(3)
        )
        self.classification = nn.Conv2d(hidden, num_classes, 1)
        self.offset, self.size = nn.Conv2d(hidden, 2, 1), nn.Conv2d(hidden, 2, 1)
        self.register_locations(sizes, self._cells)

    def _cells(self) -> Tensor:
        line = torch.arange(self.side) / self.side
        corner = torch.stack(torch.meshgrid(line, line, indexing="ij")[::-1], dim=-1).reshape(-1, 2)
        return torch.cat([corner, torch.full_like(corner, 1 / self.side)], dim=1)

    def initialise(self) -> None:
        """The layers' own draws for heat; small normal weights for offset and size."""
        nn.init.constant_(self.classification.bias, PRIOR_LOGIT)  # type: ignore[arg-type]
        for part in (self.offset_tower, self.offset, self.size_tower, self.size):
            part.apply(partial(normal, std=0.001))

    def forward(self, levels: Sequence[Tensor], masks: bool = True) -> Dense:
        (level,) = levels
        logits = rows(self.classification(self.class_tower(level)), self.classification.out_channels)
        parts = [self.offset(self.offset_tower(level)), self.size(self.size_tower(level))]
        box = torch.cat([rows(part, 2) for part in parts], dim=-1)
        return Dense(box, logits, box[..., :0], None)

    def decoding(self) -> Any:
        return ()

    def decode(self, box: Tensor, locations: Tensor) -> Tensor:
        stride = locations[..., 2:]
        centre, half = locations[..., :2] + box[..., :2] * stride, box[..., 2:] * stride / 2
        return torch.cat([centre - half, centre + half], dim=-1)

    def scores(self, logits: Tensor, quality: Tensor | None) -> Tensor:
        """Probabilities where they are the largest of their class in their 3x3 neighbourhood, 0 elsewhere.

        Of equal neighbours all stay (official quirk).
        """
        side = math.isqrt(logits.shape[-2])
        heat = torch.sigmoid(logits).transpose(-1, -2)
        maps = heat.reshape(-1, 1, side, side)
        peak = F.max_pool2d(maps, 3, stride=1, padding=1) == maps
        return torch.where(peak, maps, 0).reshape(heat.shape).transpose(-1, -2)

    def assign(self, targets: Sequence[Target]) -> list[Matches]:
        return [self._assign(target) for target in targets]

    def _assign(self, target: Target) -> Matches:
        """Each object takes the cell of its centre; where two share one, both are learned, and the later is named here."""
        real = ~target.crowd
        labels = target.labels[real]
        centres = self._centres(target.boxes[real] / self.config.image_size, torch.zeros_like(labels))
        location = centres.location(self.side)[centres.learned]
        numbers = torch.arange(len(labels), device=labels.device)[centres.learned]
        objects = torch.full((self.side**2,), -1, device=labels.device).scatter_reduce(0, location, numbers, "amax")
        classes = torch.where(objects >= 0, labels[objects] + 1, 0) if len(labels) else torch.zeros_like(objects)
        return Matches(classes, objects.clamp(min=0))

    def _centres(self, boxes: Tensor, owner: Tensor) -> Centres:
        """Of objects (g, 4) in images `owner` (g,); corners are cut to the map's last cell, as the official code does."""
        corners = (boxes * self.side).clamp(0, self.side - 1)
        centre, size = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
        number = torch.arange(len(owner), device=owner.device) - first_of_image(owner)
        learned = (size > 0).all(dim=1) & (number < self.config.matching.max_objects)
        return Centres(centre, size, centre.long(), learned)

    def counts(self, assignment: Assignment) -> Counts:
        """`objects` that are learned; `centres`, cells of a class that have any."""
        centres = self._centres(assignment.boxes, assignment.owner)
        keys = torch.stack([assignment.owner, assignment.labels, centres.location(self.side)])[:, centres.learned]
        return {"objects": int(centres.learned.sum()), "centres": keys.unique(dim=1).shape[1]}

    def loss(self, dense: Dense, assignment: Assignment, counts: Counts) -> dict[str, Tensor]:
        """Terms `heat`, `offset` and `size`."""
        weights = self.config.loss
        centres = self._centres(assignment.boxes, assignment.owner)
        own = centres.learned
        made = dense.box[assignment.owner[own], centres.location(self.side)[own]]
        offset = (made[:, :2] - (centres.centre - centres.cell)[own]).abs().sum()
        size = (made[:, 2:] - centres.size[own]).abs().sum()
        heat = self._heat_loss(dense.logits, self.heat(centres, assignment, dense.logits.shape))
        fault, values = nan_if_any_nonfinite(dense.box), 2 * counts["objects"] + 1e-4
        return {
            "heat": (heat + nan_if_any_nonfinite(dense.logits)) * weights.heat / max(1, counts["centres"]),
            "offset": (offset + fault) * weights.offset / values,
            "size": (size + fault) * weights.size / values,
        }

    @torch.no_grad()
    def heat(self, centres: Centres, assignment: Assignment, shape: Sequence[int]) -> Tensor:
        """(n, P, C) wanted heat; `shape` is (n, P, C)."""
        matching, own = self.config.matching, centres.learned
        radius = gaussian_radius(centres.size[own].ceil(), matching.overlap, matching.official_radius).clamp(min=0).long()
        planes = (assignment.owner * shape[2] + assignment.labels)[own]
        maps = heat_map(centres.cell[own], planes, radius, shape[0] * shape[2], self.side)
        return maps.view(shape[0], shape[2], -1).transpose(1, 2)

    def _heat_loss(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """Focal loss, less where some heat is wanted, summed."""
        weights = self.config.loss
        made = torch.sigmoid(logits).clamp(weights.clamp, 1 - weights.clamp)
        peaks = (1 - made) ** weights.alpha * made.log()
        others = (1 - wanted) ** weights.beta * made**weights.alpha * (1 - made).log()
        return -torch.where(wanted == 1, peaks, others).sum()
