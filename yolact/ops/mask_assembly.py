"""YOLACT's masks: a linear combination of prototypes, a sigmoid, a crop.

n instances, k prototypes of (h, w). Boxes are xyxy as fractions of the image's sides.
Source: paper section 3.3; reference `layers/output_utils.py`, `layers/box_utils.py` crop and sanitize_coordinates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from yolact.ops.boxes import ordered


def assemble(prototypes: Tensor, coefficients: Tensor, boxes: Tensor | None = None, padding: int = 1) -> Tensor:
    """Mask probabilities sigmoid(P Cᵀ), zero outside the padded boxes.

    Args:
        prototypes: (k, h, w).
        coefficients: (n, k).
        boxes: (n, 4) xyxy fractions to crop by; None leaves the masks whole.
        padding: of the crop, in prototype pixels.

    Returns:
        (n, h, w) float in [0, 1].
    """
    k, height, width = prototypes.shape
    masks = torch.sigmoid(coefficients @ prototypes.reshape(k, -1)).reshape(-1, height, width)
    return masks if boxes is None else crop(masks, boxes, padding)


def crop(masks: Tensor, boxes: Tensor, padding: int = 1) -> Tensor:
    """Zero (n, h, w) masks outside their boxes (n, 4), xyxy fractions, widened by `padding` mask pixels on every side.

    Pixel column x stays when x1 * w - padding <= x < x2 * w + padding, compared as floats; rows alike.
    """
    height, width = masks.shape[-2:]
    x1, x2 = ordered(boxes[:, 0] * width, boxes[:, 2] * width)
    y1, y2 = ordered(boxes[:, 1] * height, boxes[:, 3] * height)
    x = torch.arange(width, device=masks.device, dtype=boxes.dtype)
    y = torch.arange(height, device=masks.device, dtype=boxes.dtype)
    columns = (x >= x1[:, None] - padding) & (x < x2[:, None] + padding)  # (n, w)
    rows = (y >= y1[:, None] - padding) & (y < y2[:, None] + padding)  # (n, h)
    return masks * (rows[:, :, None] & columns[:, None, :])
