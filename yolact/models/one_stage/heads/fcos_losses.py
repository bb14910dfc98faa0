"""FCOS's loss of boxes: GIoU.

q positives. Source: Tian et al., "FCOS"; AdelaiDet `fcos_outputs.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def giou_loss(made: Tensor, wanted: Tensor, offset: float) -> Tensor:
    """(q,) 1 - GIoU of boxes that contain their point, given as distances (q, 4) ltrb.

    Args:
        made: predicted, not negative.
        wanted: positive.
        offset: added to intersection and union in the IoU, but not in the term of the enclosing box.
    """
    shared = _area(torch.minimum(made, wanted))
    union = _area(made) + _area(wanted) - shared
    around = _area(torch.maximum(made, wanted))
    return 1 - (shared + offset) / (union + offset) + (around - union) / around


def _area(ltrb: Tensor) -> Tensor:
    return (ltrb[:, 0] + ltrb[:, 2]) * (ltrb[:, 1] + ltrb[:, 3])
