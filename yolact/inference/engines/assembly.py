"""Masks from prototypes, upsampled to the image: the columns first, while there are few rows, then the rows straight to bool.

n instances, k prototypes of (h, w), image (H, W).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from yolact.config.inference import InferenceConfig
from yolact.ops import mask_assembly
from yolact.ops.resampling import matrix, taps

_CHUNK_VALUES = 2**24
"""Values of masks with all columns held in float at a time: 64 MiB."""


class AssemblyGraph(nn.Module):
    """Coefficients (n, k), prototypes (k, h, w), boxes (n, 4) xyxy fractions, `matrix` (w, W) of the columns and
    `taps` of the rows to masks (n, H, W) bool."""

    def __init__(self, config: InferenceConfig) -> None:
        super().__init__()
        self.config = config
        self.essence = config.essence()  # what the graph is, beside weights and shapes

    def forward(
        self, coefficients: Tensor, prototypes: Tensor, boxes: Tensor, columns: Tensor, rows: tuple[Tensor, Tensor, Tensor]
    ) -> Tensor:
        config = self.config
        masks = mask_assembly.assemble(prototypes, coefficients, boxes if config.crop else None, config.crop_padding)
        n, height, width = masks.shape
        wide = (masks.reshape(n * height, width) @ columns).reshape(n, height, columns.shape[1])  # (n, h, W)
        low, high, share = rows
        return wide[:, low] * (1 - share[:, None]) + wide[:, high] * share[:, None] > config.mask_threshold


def masks_by_box(
    coefficients: Tensor, prototypes: Tensor, boxes: Tensor, size: tuple[int, int], config: InferenceConfig
) -> Tensor:
    """Masks (n, H, W) bool as `AssemblyGraph` makes them, upsampled inside each crop alone, by two small matrix products.

    For the CPU, where shapes that depend on the data cost nothing, and inductor's loops over all pixels are the slower ones.
    """
    k, height, width = prototypes.shape
    logits = (coefficients @ prototypes.reshape(k, -1)).reshape(-1, height, width)
    found = torch.zeros((len(logits), *size), dtype=torch.bool)
    across, down = matrix(width, size[1], logits.device), matrix(height, size[0], logits.device).t()
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
    low, high, _ = taps(length, count, one.device)
    reached = torch.stack([torch.searchsorted(high, ends[0]), torch.searchsorted(low, ends[1])])
    return torch.cat([ends, reached]).t().tolist()


def assembly_settings(inference: InferenceConfig) -> InferenceConfig:
    """The defaults except for the fields that `AssemblyGraph` reads, so that settings that differ elsewhere share a graph."""
    return InferenceConfig(crop=inference.crop, crop_padding=inference.crop_padding, mask_threshold=inference.mask_threshold)


def instances_at_once(rows: int, columns: int) -> int:
    """How many masks of `rows` prototype rows and `columns` image columns are upsampled at a time."""
    return max(1, _CHUNK_VALUES // max(1, rows * columns))
