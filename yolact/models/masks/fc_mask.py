"""The fc-mask baseline: each anchor's own small mask, predicted by the head and stretched over the box.

Source: paper table 2c; reference `mask_type.direct`, `multibox_loss.py` direct_mask_loss, `output_utils.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from yolact.config.inference import InferenceConfig
from yolact.config.mask_branch import FCMaskConfig
from yolact.models.one_stage.mask_branch import MaskBranch, MaskTargets
from yolact.ops import masks as mask_ops


class FCMaskBranch(MaskBranch):
    """`size`² mask probabilities per anchor, in the frame of the predicted box; no shared maps."""

    maps_section = None

    def __init__(self, config: FCMaskConfig) -> None:
        super().__init__()
        self.config = config
        self.parameters_per_anchor = config.size**2

    def maps(self, levels: Sequence[Tensor]) -> None:
        return None

    def activate(self, raw: Tensor) -> Tensor:
        return torch.sigmoid(raw)

    def loss(self, targets: MaskTargets) -> Tensor:
        """Binary cross entropy, summed over pixels, against the ground truth inside the predicted (or true) box."""
        boxes = targets.decoded if self.config.crop_box == "predicted" else targets.boxes[targets.objects]
        truth = (average_pool_boxes(targets.masks, targets.objects, boxes, self.config.size) > 0.5).float()
        return (
            F.binary_cross_entropy(targets.parameters.nan_to_num(), truth.flatten(1), reduction="sum") * self.config.loss_weight
        )

    def assemble(
        self, parameters: Tensor, maps: Tensor | None, boxes: Tensor, size: tuple[int, int], config: InferenceConfig
    ) -> Tensor:
        square = parameters.reshape(-1, self.config.size, self.config.size)
        return mask_ops.paste(square, mask_ops.to_pixels(boxes, size), size, config.mask_threshold)


def average_pool_boxes(masks: Tensor, objects: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Adaptive average pooling of each object's mask inside a box, by an integral image instead of a loop.

    Args:
        masks: (n, H, W) uint8 0/1.
        objects: (q,) int64, the mask each box looks at.
        boxes: (q, 4) xyxy fractions; cut to whole pixels inside the image, at least one pixel wide and high.
        size: bins per side.

    Returns:
        (q, size, size) float in [0, 1].
    """
    height, width = masks.shape[-2:]
    x_edges = _bins(boxes[:, 0], boxes[:, 2], width, size)
    y_edges = _bins(boxes[:, 1], boxes[:, 3], height, size)
    integral = F.pad(masks.to(torch.int32).cumsum(1, dtype=torch.int32).cumsum(2, dtype=torch.int32), (1, 0, 1, 0))
    (x0, x1), (y0, y1) = x_edges, y_edges
    owner = objects[:, None, None]

    def at(y: Tensor, x: Tensor) -> Tensor:
        return integral[owner, y[:, :, None], x[:, None, :]]

    total = at(y1, x1) - at(y0, x1) - at(y1, x0) + at(y0, x0)
    return total / ((y1 - y0)[:, :, None] * (x1 - x0)[:, None, :])


def _bins(start: Tensor, end: Tensor, length: int, size: int) -> tuple[Tensor, Tensor]:
    """First and one-past-last pixel (q, size) of adaptive pooling's bins over [start, end) fractions of `length`."""
    low = (torch.minimum(start, end) * length).long().clamp(0, length - 1)
    high = torch.maximum((torch.maximum(start, end) * length).long().clamp(max=length), low + 1)
    steps = torch.arange(size, device=start.device)
    extent = (high - low)[:, None]
    first = low[:, None] + steps * extent // size
    last = low[:, None] + -((-(steps + 1) * extent) // size)
    return first, last
