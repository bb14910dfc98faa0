"""Masks from prototypes, upsampled to the image: the columns first, while there are few rows, then the rows straight to bool.

n instances, k prototypes of (h, w), image (H, W).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from yolact.config.inference import InferenceConfig
from yolact.ops import masks as mask_ops

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


def masks_by_box(
    coefficients: Tensor, prototypes: Tensor, boxes: Tensor, size: tuple[int, int], config: InferenceConfig
) -> Tensor:
    """Masks (n, H, W) bool as `AssemblyGraph` makes them, upsampled inside each crop alone, by two small matrix products.

    For the CPU, where shapes that depend on the data cost nothing, and inductor's loops over all pixels are the slower ones.
    """
    k, height, width = prototypes.shape
    logits = (coefficients @ prototypes.reshape(k, -1)).reshape(-1, height, width)
    found = torch.zeros((len(logits), *size), dtype=torch.bool)
    across, down = weights(width, size[1], logits.device), weights(height, size[0], logits.device).t()
    x_spans = _spans(boxes[:, 0], boxes[:, 2], width, size[1], config)
    y_spans = _spans(boxes[:, 1], boxes[:, 3], height, size[0], config)
    for mask, out, (left, right, x1, x2), (top, bottom, y1, y2) in zip(logits, found, x_spans, y_spans, strict=True):
        wide = mask[top:bottom, left:right].sigmoid() @ across[left:right, x1:x2]
        torch.gt(down[y1:y2, top:bottom] @ wide, config.mask_threshold, out=out[y1:y2, x1:x2])
    return found


def _spans(one: Tensor, other: Tensor, length: int, count: int, config: InferenceConfig) -> list[list[int]]:
    """For each instance the prototype pixels [a, b) that the crop leaves along an axis, and the image pixels [c, d) that they
    reach."""
    first, last = torch.minimum(one, other) * length, torch.maximum(one, other) * length
    ends = torch.stack([first - config.crop_padding, last + config.crop_padding]).nan_to_num().ceil().clamp(0, length).long()
    if not config.crop:
        ends = torch.tensor([[0], [length]]).repeat(1, len(one))
    low, high, _ = samples(length, count, one.device)
    reached = torch.stack([torch.searchsorted(high, ends[0]), torch.searchsorted(low, ends[1])])
    return torch.cat([ends, reached]).t().tolist()


def instances_at_once(rows: int, columns: int) -> int:
    """How many masks of `rows` prototype rows and `columns` image columns are upsampled at a time."""
    return max(1, _CHUNK_VALUES // max(1, rows * columns))
