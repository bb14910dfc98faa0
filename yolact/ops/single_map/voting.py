"""Mask voting: the mask of a detection is what the regions around it agree on.

d detections, R regions, C classes, masks of s x s cells in the frame of their box, an image of (H, W).
Source: FCIS `lib/mask/mask_transform.py`; MNC `lib/transform/mask_transform.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou

from yolact.ops.masks import paste

_SAME_OBJECT = 0.5
"""IoU of boxes from which a region votes on a detection."""


class Regions(NamedTuple):
    """What a detector says of the regions of one image."""

    boxes: Tensor
    """(R, 4) float32 xyxy."""
    scores: Tensor
    """(R, C) float32 probabilities of the foreground classes."""
    masks: Tensor
    """(R, s, s) float32 probabilities in the frame of the box."""


def vote(boxes: Tensor, labels: Tensor, regions: Regions, size: tuple[int, int], threshold: float) -> Tensor:
    """The pixels that voters holding at least `threshold` of the weight have in their masks.

    Every region whose box overlaps the detection's by an IoU of at least 0.5 votes, whatever its own class, with the weight of
    its score for the detection's class. Its vote is its own mask, stretched over its box and cut at `threshold`.

    Args:
        boxes: (d, 4) xyxy of the detections, in pixels of the image, as those of the regions.
        labels: (d,) int64 in [0, C).
        regions: of the same image; their boxes lie inside it.
        size: (H, W).
        threshold: of the voters' masks and of the weight.

    Returns:
        (d, H, W) bool.
    """
    weights = regions.scores.t()[labels] * (box_iou(boxes, regions.boxes) >= _SAME_OBJECT)  # (d, R)
    weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool, device=boxes.device)
    for mask, weight in zip(masks, weights, strict=True):
        voters = torch.nonzero(weight)[:, 0]
        if not len(voters):  # a box without area overlaps nothing
            continue
        around = regions.boxes[voters]
        start, end = around[:, :2].amin(dim=0).floor(), around[:, 2:].amax(dim=0).ceil()
        width, height = (end - start).int().tolist()
        votes = paste(regions.masks[voters], around - start.repeat(2), (height, width), threshold)
        x, y = start.int().tolist()
        agreed = torch.einsum("r,rhw->hw", weight[voters], votes.to(weight.dtype)) >= threshold
        mask[y : y + height, x : x + width] = agreed
    return masks
