"""The fc-mask baseline: each anchor's own small mask, predicted by the head and stretched over the box.

Source: paper table 2c; reference `mask_type.direct`, `multibox_loss.py` direct_mask_loss, `output_utils.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from yolact.config.inference import InferenceConfig
from yolact.config.mask_branch import FCMaskConfig
from yolact.models.masks.mask_branch import Instances, MaskBranch, Masks, Truth
from yolact.ops import masks as mask_ops
from yolact.ops.regions import integral_image


class FCMaskBranch(MaskBranch):
    """`size`² mask probabilities per location, in the frame of the predicted box; no shared context."""

    section = None

    def __init__(self, config: FCMaskConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        self.parameters_per_location = config.size**2

    def activate(self, raw: Tensor) -> Tensor:
        return torch.sigmoid(raw)

    def loss(self, instances: Instances, context: tuple[Tensor, ...], truth: Truth) -> dict[str, Tensor]:
        """Binary cross entropy, summed over pixels, against the ground truth inside the predicted (or true) box."""
        boxes = instances.boxes if self.config.crop_box == "predicted" else truth.boxes[truth.objects]
        wanted = (average_pool_boxes(truth.masks, truth.objects, boxes, self.config.size) > 0.5).float()
        made = instances.parameters.nan_to_num()
        return {"mask": F.binary_cross_entropy(made, wanted.flatten(1), reduction="sum") * self.config.loss_weight}

    def masks(
        self, instances: Instances, context: tuple[Tensor, ...], size: tuple[int, int], inference: InferenceConfig
    ) -> Masks:
        square = instances.parameters.reshape(-1, self.config.size, self.config.size)
        return Masks(mask_ops.paste(square, mask_ops.to_pixels(instances.boxes, size), size, inference.mask_threshold))


def average_pool_boxes(masks: Tensor, objects: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Adaptive average pooling of each object's mask inside a box, by an integral image instead of a loop.

    Args:
        masks: (n, H, W) uint8 0/1.
        objects: (q,) int64, the mask that each box is placed on.
        boxes: (q, 4) xyxy fractions; cut to whole pixels inside the image, at least one pixel wide and high.
        size: bins per side.

    Returns:
        (q, size, size) float in [0, 1].
    """
    height, width = masks.shape[-2:]
    x_edges = _bins(boxes[:, 0], boxes[:, 2], width, size)
    y_edges = _bins(boxes[:, 1], boxes[:, 3], height, size)
    integral = integral_image(masks)
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
