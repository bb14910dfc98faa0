"""Bilinear resampling, but for `aligned_bilinear` by the rule of `F.interpolate(mode="bilinear", align_corners=False)`.

Pixel i of `count` reads a side of `length` pixels at (i + 0.5) * length / count - 0.5, clamped to the side, which lies between
two neighbouring pixels, the taps.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

NEAR, FAR = 0.75, 0.25
"""Weights of the two taps of every pixel when a side is doubled: pixel 2i reads i and i - 1, pixel 2i + 1 reads i and i + 1."""


class Taps(NamedTuple):
    """The two pixels that each of n output pixels reads, and how they are weighted."""

    low: Tensor
    """(n,) int64."""
    high: Tensor
    """(n,) int64: low + 1, at the end of the side low."""
    share: Tensor
    """(n,) float32 in [0, 1]: the weight of `high`; `low` has the rest."""


@lru_cache(maxsize=256)
def taps(length: int, count: int, device: torch.device | str = "cpu", fused: bool = False) -> Taps:
    """Taps of `count` pixels from a side of `length`; not to be written to.

    Args:
        fused: round positions once, as a fused multiplication and addition does in torch's interpolation on the CPU. Otherwise
            they are rounded after each step, as by torch's tensor operations.
    """
    with torch.inference_mode(False):
        scale = torch.tensor(length, dtype=torch.float32) / count
        pixel = torch.arange(count, dtype=torch.float64 if fused else torch.float32)
        position = _position(pixel, scale.to(pixel.dtype)).float()
        low = position.long().clamp(max=length - 1)
        high = (low + 1).clamp(max=length - 1)
        return Taps(low.to(device), high.to(device), (position - low).to(device))


@lru_cache(maxsize=64)
def matrix(length: int, count: int, device: torch.device | str = "cpu") -> Tensor:
    """`taps` as a matrix (length, count) float32, by which rows of `length` values are multiplied; not to be written to."""
    low, high, share = taps(length, count, device)
    with torch.inference_mode(False):
        pixel = torch.arange(length, device=device)[:, None]
        return (pixel == low) * (1 - share) + (pixel == high) * share


def stretch_matrix(start: Tensor, end: Tensor, length: int, samples: int) -> Tensor:
    """Weights (n, length, samples) that stretch `samples` values over the pixels [start, end) of a side; 0 elsewhere.

    Args:
        start, end: (n,) whole float pixels; a span below one pixel counts as one.
    """
    pixel = torch.arange(length, device=start.device, dtype=start.dtype)
    scale = samples / (end - start).clamp(min=1)
    position = _position(pixel - start[:, None], scale[:, None]).clamp(max=samples - 1)
    hat = (1 - (position[:, :, None] - torch.arange(samples, device=start.device)).abs()).clamp(min=0)
    inside = (pixel >= start[:, None]) & (pixel < end[:, None])
    return hat * inside[:, :, None]


def sample_matrix(start: Tensor, end: Tensor, length: int, samples: int) -> Tensor:
    """Weights (n, length, samples) that read `samples` values, spread evenly over [start, end), at the centre of each pixel.

    Beyond the first and the last value there are zeros, as for `F.grid_sample(padding_mode="zeros", align_corners=False)`.

    Args:
        start, end: (n,) in pixels of a side of `length`, any fractions; where the span is empty, weights are 0.
    """
    pixel = torch.arange(length, device=start.device, dtype=start.dtype) + 0.5
    span = (end - start)[:, None]
    position = (pixel - start[:, None]) / torch.where(span > 0, span, torch.inf) * samples - 0.5
    hat = (1 - (position[:, :, None] - torch.arange(samples, device=start.device)).abs()).clamp(min=0)
    return hat * (span > 0)[:, :, None]


def _position(pixel: Tensor, scale: Tensor) -> Tensor:
    return ((pixel + 0.5) * scale - 0.5).clamp(min=0)


def aligned_bilinear(maps: Tensor, factor: int) -> Tensor:
    """(n, c, h, w) to (n, c, h * factor, w * factor), so that cell i becomes cell i * factor + factor // 2 exactly.

    Between these, values are linear; beyond the first and the last, constant. Source: AdelaiDet `aligned_bilinear`.
    """
    if factor == 1:
        return maps
    height, width = (side * factor for side in maps.shape[-2:])
    padded = F.pad(maps, (0, 1, 0, 1), mode="replicate")
    wide = F.interpolate(padded, size=(height + 1, width + 1), mode="bilinear", align_corners=True)
    half = factor // 2
    return F.pad(wide, (half, 0, half, 0), mode="replicate")[..., :height, :width]
