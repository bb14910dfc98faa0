"""From the scores of cells to detections: masks first, boxes from masks.

K cells of all levels, E numbers of a kernel, C classes, q candidates, (h, w) the size that masks are compared at, (H, W) the
original image. Source: the authors' `solov2_head.py` get_seg_single.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from yolact.config.base import ConfigError
from yolact.config.inference import InferenceConfig
from yolact.models.box_free.solo.mask_source import MaskSource
from yolact.models.box_free.solo.towers import size_of
from yolact.ops import mask_nms
from yolact.ops.masks import binarize, instances_at_once, tight_boxes
from yolact.runtime.profiling import section
from yolact.structures import Detections

STRIDES = (8, 8, 16, 32, 32)
"""Of the levels that the head reads, in input pixels; a mask of a level's cell needs more pixels than this at stride 4."""


@dataclass(frozen=True)
class CellOutputs:
    """What the network says of one image."""

    source: MaskSource
    scores: Tensor
    """(K, C) category probabilities, level by level and row by row."""
    kernels: Tensor
    """(K, E)."""
    context: tuple[Tensor, ...]
    """Of `MaskSource.context`, without the batch dimension."""
    grids: Sequence[int]
    """Cells per side of each level."""

    def peaks(self, method: str) -> Tensor:
        """`scores`, 0 where a neighbour has more (`yolact.ops.mask_nms.peaks`)."""
        parts = self.scores.split([side * side for side in self.grids])
        square = (part.t().reshape(-1, side, side) for part, side in zip(parts, self.grids, strict=True))
        return torch.cat([mask_nms.peaks(part, method).flatten(1).t() for part in square])

    def levels(self, cells: Tensor) -> Tensor:
        """(q,) int64: the level of each cell (q,) of all K."""
        ends = torch.tensor(list(accumulate(side * side for side in self.grids)), device=cells.device)
        return torch.bucketize(cells, ends, right=True)

    def soft(self, cells: Tensor) -> Tensor:
        """(q, h, w) mask probabilities of cells (q,) of all K, all at the size of the finest map."""
        size = size_of(self.context[0])
        found = self.scores.new_zeros(len(cells), *size)
        level, start = self.levels(cells), 0
        for number, side in enumerate(self.grids):
            (mine,) = (level == number).nonzero(as_tuple=True)
            if len(mine):
                chosen = cells[mine]
                found[mine] = self.source.masks(self.context, self.kernels[chosen], number, chosen - start, size)
            start += side * side
        return found


@dataclass(frozen=True)
class _Kept:
    """What suppression leaves of one image, best score first: q masks."""

    cells: Tensor
    """(q,) int64 in [0, K)."""
    labels: Tensor
    """(q,) int64 in [0, C)."""
    scores: Tensor
    """(q,)"""
    soft: Tensor
    """(q, h, w) probabilities."""

    def __getitem__(self, index: Tensor | slice) -> _Kept:
        return _Kept(self.cells[index], self.labels[index], self.scores[index], self.soft[index])


def detect(outputs: CellOutputs, image_size: int, size: tuple[int, int], inference: InferenceConfig) -> Detections:
    """Detections of one image.

    Args:
        outputs: of the network for this image.
        image_size: side of the network's input. Masks are enlarged to it, then to the original image, as officially.
        size: (H, W) of the original image.
        inference: thresholds and suppression. Without `masks`, masks are made all the same and left out in the end.

    Raises:
        ConfigError: the suppression is one of boxes.
    """
    with section("nms"):
        kept = _suppressed(_candidates(outputs, inference), inference)
    with section("assembly"):
        masks = binarize(kept.soft, size, inference.mask_threshold, through=(image_size, image_size))
        there = masks.flatten(1).any(dim=1)
        kept, masks = kept[there], masks[there]
        linear = outputs.source.map_count is not None
        return Detections(
            tight_boxes(masks),
            kept.scores,
            kept.labels,
            masks if inference.masks else None,
            coefficients=outputs.kernels[kept.cells] if linear and inference.masks else None,
            prototypes=outputs.context[0] if linear and inference.masks else None,
        )


def _candidates(outputs: CellOutputs, inference: InferenceConfig) -> _Kept:
    """The best pairs of cell and class: peaks above the threshold whose masks are large enough, scored by maskness."""
    scores = outputs.peaks(inference.peaks)
    cells, labels = (scores > inference.score_threshold).nonzero(as_tuple=True)
    own, place = cells.unique(return_inverse=True)  # several classes of a cell have one mask
    step = instances_at_once(size_of(outputs.context[0]))
    parts = [outputs.soft(part) for part in own.split(step)] if len(own) <= step else None
    described = [_described(soft, inference) for soft in parts or map(outputs.soft, own.split(step))]
    area, certainty = (torch.cat(column)[place] for column in zip(*described, strict=True))
    value = scores[cells, labels] * (certainty if inference.maskness else 1)
    large = area > torch.tensor(STRIDES, device=cells.device)[outputs.levels(cells)]
    best, order = torch.where(large, value, -1).sort(descending=True, stable=True)
    order = order[best >= 0][: inference.pre_nms_top_k]
    soft = parts[0][place[order]] if parts else outputs.soft(cells[order])
    return _Kept(cells[order], labels[order], value[order], soft)


def _described(soft: Tensor, inference: InferenceConfig) -> tuple[Tensor, Tensor]:
    """Area and maskness (q,) of masks (q, h, w)."""
    masks = soft > inference.mask_threshold
    return masks.sum(dim=(1, 2)), mask_nms.maskness(soft, masks)


def _suppressed(found: _Kept, inference: InferenceConfig) -> _Kept:
    if inference.suppression not in ("matrix", "greedy_mask"):
        raise ConfigError(
            f"inference.suppression {inference.suppression!r} compares boxes, which this model makes of the masks that "
            "survive: choose 'matrix' or 'greedy_mask'",
            "inference.suppression",
        )
    iou = mask_nms.overlaps(found.soft > inference.mask_threshold, found.labels)
    if inference.suppression == "greedy_mask":
        return found[mask_nms.greedy(iou, inference.nms_iou)][slice(inference.max_detections)]
    scores = found.scores * mask_nms.matrix_decay(iou, inference.matrix)
    best, order = scores.sort(descending=True, stable=True)
    order = order[best >= inference.matrix.score_threshold][: inference.max_detections]
    return _Kept(found.cells[order], found.labels[order], scores[order], found.soft[order])
