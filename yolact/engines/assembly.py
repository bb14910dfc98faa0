"""Masks from prototypes, upsampled to the image: the columns first, while there are few rows, then the rows straight to bool.

n instances, k prototypes of (h, w), image (H, W).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from yolact import masks as mask_ops
from yolact.config.inference import InferenceConfig

_CHUNK_VALUES = 2**24
"""Values of masks with all columns held in float at a time: 64 MiB."""


class AssemblyGraph(nn.Module):
    """Coefficients (n, k), prototypes (k, h, w), boxes (n, 4) xyxy fractions, `weights` (w, W) of the columns and
    `samples` of the rows to masks (n, H, W) bool."""

    def __init__(self, config: InferenceConfig) -> None:
        super().__init__()
        self.config = config
        self.essence = config.essence()  # what the graph is, beside weights and shapes

    def forward(
        self, coefficients: Tensor, prototypes: Tensor, boxes: Tensor, columns: Tensor, rows: tuple[Tensor, Tensor, Tensor]
    ) -> Tensor:
        config = self.config
        masks = mask_ops.assemble(prototypes, coefficients, boxes if config.crop else None, config.crop_padding)
        n, height, width = masks.shape
        wide = (masks.reshape(n * height, width) @ columns).reshape(n, height, columns.shape[1])  # (n, h, W)
        low, high, share = rows
        return wide[:, low] * (1 - share[:, None]) + wide[:, high] * share[:, None] > config.mask_threshold


@lru_cache(maxsize=64)
def samples(length: int, count: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Where bilinear interpolation (corners not aligned) reads `count` values from `length`: the two indices, (count,) int64,
    and the second's share, (count,) float32."""
    with torch.inference_mode(False):
        scale = torch.tensor(length, dtype=torch.float32) / count
        place = ((torch.arange(count, dtype=torch.float32) + 0.5) * scale - 0.5).clamp(min=0)
        low = place.long().clamp(max=length - 1)
        high = (low + 1).clamp(max=length - 1)
        return low.to(device), high.to(device), (place - low).to(device)


@lru_cache(maxsize=64)
def weights(length: int, count: int, device: torch.device) -> Tensor:
    """The same as a matrix (length, count) float32, by which rows of `length` values are multiplied."""
    low, high, share = samples(length, count, device)
    with torch.inference_mode(False):
        place = torch.arange(length, device=device)[:, None]
        return (place == low) * (1 - share) + (place == high) * share


def instances_at_once(rows: int, columns: int) -> int:
    """How many masks of `rows` prototype rows and `columns` image columns are upsampled at a time."""
    return max(1, _CHUNK_VALUES // max(1, rows * columns))
