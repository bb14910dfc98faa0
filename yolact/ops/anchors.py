"""Locations of a dense head at the cells of every pyramid level: anchors (prior boxes), or points.

Source: reference `yolact.py` make_priors; paper section 4. FCOS (Tian et al., ICCV 2019) for points; torchvision
`models/detection/anchor_utils.py` for RetinaNet's and SSD's.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from yolact.config.model.boxes.ssd import DefaultBoxConfig
from yolact.config.model.retinanet import OctaveAnchorConfig
from yolact.config.model.yolact import AnchorConfig

Sizes = list[tuple[int, int]]
"""(rows, columns) of the maps of a pyramid's levels, finest first."""


def make_points(image_size: int, level_sizes: Sizes, finest_stride: int = 8) -> Tensor:
    """The points of a square input, from P3 upwards: that of cell (i, j) is pixel (s i + s // 2, s j + s // 2) at stride s.

    Args:
        image_size: side of the input in pixels.
        level_sizes: (rows, columns) of each level's feature map.
        finest_stride: of the first level, in input pixels; each further one doubles it.

    Returns:
        (P, 4) float32 cx, cy, w, h as fractions of the input's side, where w and h are the stride. Within a level cells come
        row by row. If strides do not divide the side, the last points may lie beyond it.
    """
    levels = []
    for level, size in enumerate(level_sizes):
        stride = finest_stride * 2**level
        points = _grid(size, stride, stride // 2)
        levels.append(torch.cat([points, torch.full_like(points, stride)], dim=1))
    return (torch.cat(levels) / image_size).float()


def _grid(size: tuple[int, int], stride: float, first: float) -> Tensor:
    """(cells, 2) float64 x, y of the cells of a level, row by row, the first at `first`."""
    y, x = (torch.arange(count, dtype=torch.float64) * stride + first for count in size)
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1).reshape(-1, 2)


def make_octave_anchors(config: OctaveAnchorConfig, image_size: int, level_sizes: Sizes, finest_stride: int = 8) -> Tensor:
    """RetinaNet's anchors of a square input, from P3 upwards.

    Args:
        config: sizes per level in input pixels, aspect ratios (height / width), quirks.
        image_size: side of the input in pixels.
        level_sizes: (rows, columns) of each level's feature map.
        finest_stride: of the first level, in input pixels; each further one doubles it.

    Returns:
        (P, 4) float32 cxcywh as fractions of the input's side, not clipped to it. Within a level cells come row by row;
        within a cell ratios run before sizes, so that the size changes fastest.
    """
    levels = []
    for level, (smallest, size) in enumerate(zip(config.sizes, level_sizes, strict=True)):
        sides = torch.tensor([smallest * 2 ** (step / config.per_octave) for step in range(config.per_octave)])
        tall = torch.tensor(config.aspect_ratios).sqrt()[:, None]  # float32, as torchvision rounds the corners of
        sides = sides.floor() if config.whole_pixels else sides
        half = torch.stack([(1 / tall * sides).flatten(), (tall * sides).flatten()], dim=1) / 2  # (a, 2)
        half = half.round() if config.whole_pixels else half
        stride = finest_stride * 2**level
        centres = _grid(size, stride, config.place * stride)
        shapes = (2 * half.double()).expand(len(centres), -1, -1)
        levels.append(torch.cat([centres[:, None].expand_as(shapes), shapes], dim=2).flatten(0, 1))
    return (torch.cat(levels) / image_size).float()


def make_default_boxes(config: DefaultBoxConfig, image_size: int, level_sizes: Sizes) -> Tensor:
    """SSD's default boxes of a square input, finest level first.

    Args:
        config: scales as fractions of the input's side, aspect ratios and strides per level.
        image_size: side of the input in pixels.
        level_sizes: (rows, columns) of each level's feature map.

    Returns:
        (P, 4) float32 cxcywh as fractions of the input's side, w and h at most 1, not clipped to it. Within a level cells come
        row by row; within a cell the two squares come first, then two boxes per ratio, the wide one before the tall one.
    """
    levels = []
    for level, (size, stride, ratios) in enumerate(zip(level_sizes, config.strides, config.aspect_ratios, strict=True)):
        side, above = config.scales[level : level + 2]
        wide = [(side * math.sqrt(ratio), side / math.sqrt(ratio)) for ratio in ratios]
        between = math.sqrt(side * above)
        shapes = [(side, side), (between, between), *(shape for pair in wide for shape in (pair, pair[::-1]))]
        centres = _grid(size, stride, stride / 2) / image_size
        own = torch.tensor(shapes, dtype=torch.float64).clamp(max=1).expand(len(centres), -1, -1)
        levels.append(torch.cat([centres[:, None].expand_as(own), own], dim=2).flatten(0, 1))
    return torch.cat(levels).float()


def make_anchors(config: AnchorConfig, image_size: int, level_sizes: Sizes) -> Tensor:
    """All anchors of a square input, from P3 upwards.

    Args:
        config: scales in input pixels per level, aspect ratios (width / height), and the square quirk.
        image_size: side of the input in pixels.
        level_sizes: (rows, columns) of each level's feature map.

    Returns:
        (P, 4) float32 cxcywh as fractions of the input's side, not clipped to it. Within a level cells come row by row;
        within a cell scales run before aspect ratios, so that the ratio changes fastest.
    """
    return torch.cat([_level(config, index, rows, columns, image_size) for index, (rows, columns) in enumerate(level_sizes)])


def _level(config: AnchorConfig, index: int, rows: int, columns: int, image_size: int) -> Tensor:
    shapes = []
    for scale in config.scales[index]:
        for ratio in config.aspect_ratios:
            width = scale * math.sqrt(ratio) / image_size
            height = width if config.square else scale / math.sqrt(ratio) / image_size
            shapes.append((width, height))
    size_a2 = torch.tensor(shapes, dtype=torch.float64)
    y = (torch.arange(rows, dtype=torch.float64) + 0.5) / rows
    x = (torch.arange(columns, dtype=torch.float64) + 0.5) / columns
    center = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)  # (rows, columns, 2) as x, y
    center = center[:, :, None].expand(-1, -1, len(shapes), -1)
    size = size_a2.expand(rows, columns, -1, -1)
    return torch.cat([center, size], dim=-1).reshape(-1, 4).float()


def level_sizes(image_size: int, levels: int) -> Sizes:
    """Sizes of P3, P4, ... where every stride-2 step rounds up; three of them precede P3."""
    side, sides = image_size, []
    for step in range(3 + levels - 1):
        side = (side + 1) // 2
        if step >= 2:
            sides.append((side, side))
    return sides
