"""Which detection finds which object, and small helpers on detections that all users of ground truth share.

n detections, m annotations, image (H, W).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torchvision.ops import box_iou

from yolact.data.coco import Instances
from yolact.errors import UserError
from yolact.structures import Detections

MATCH_IOU = 0.5
"""A detection finds an object when their boxes overlap by at least this much."""


def match_objects(found: Detections, truth: Instances, same_class: bool = True) -> Tensor:
    """(n,) int64 on the CPU: the annotation that each detection finds, -1 for none.

    Best score first, each detection takes the free object whose box overlaps its own most, by MATCH_IOU or more; as COCO's
    evaluation does, but by boxes, so that a bad mask doesn't hide the object it was meant for. Crowds are not matched.

    Args:
        same_class: only objects with the detection's label; else of any class.
    """
    matched = torch.full((len(found),), -1, dtype=torch.int64)
    if not len(found) or not len(truth):
        return matched
    overlap = box_iou(found.boxes.cpu(), truth.boxes).nan_to_num(0.0)  # nan: boxes without area, or not finite
    overlap[:, truth.crowd] = 0
    if same_class:
        overlap[found.labels.cpu()[:, None] != truth.labels] = 0
    for place in range(len(found)):
        best = int(overlap[place].argmax())
        if overlap[place, best] >= MATCH_IOU:
            matched[place] = best
            overlap[:, best] = 0
    return matched


def put_back(found: Detections, where: Tensor, changed: Detections) -> Detections:
    """`found` with masks, boxes, coefficients and mask scores of the detections that `where` picks taken from `changed`, in
    their order."""
    parts = {}
    for name in ("boxes", "masks", "coefficients", "mask_scores"):
        old, new = getattr(found, name), getattr(changed, name)
        if old is not None and new is not None:
            parts[name] = old.clone()
            parts[name][where.to(old.device)] = new
    return replace(found, **parts)


def masks_of(found: Detections, what: str) -> Tensor:
    """The masks themselves.

    Raises:
        UserError: none were made, so that `what` (such as "inference.intervention.part=masks") means nothing.
    """
    if found.masks is None:
        raise UserError(f"{what}: the network made no masks; set inference.masks to true, or choose one that makes them")
    return found.masks


def mask_iou(a: Tensor, b: Tensor) -> Tensor:
    """(n,) float32 intersection over union of each pair of masks (n, H, W) bool; 0 where both are empty."""
    shared = (a & b).flatten(1).sum(dim=1)
    either = (a | b).flatten(1).sum(dim=1)
    return shared / either.clamp(min=1)
