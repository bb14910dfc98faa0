"""Slow mask re-scoring: one mask, one pixel at a time, in float64."""

from __future__ import annotations

import numpy as np


def conv(maps, weight, bias, stride):
    """maps (c, h, w), weight (o, c, s, s), no padding; followed by a ReLU."""
    size = weight.shape[-1]
    height, width = ((side - size) // stride + 1 for side in maps.shape[1:])
    made = np.zeros((len(weight), height, width))
    for o in range(len(weight)):
        for i in range(height):
            for j in range(width):
                patch = maps[:, i * stride : i * stride + size, j * stride : j * stride + size]
                made[o, i, j] = max(0.0, (weight[o] * patch).sum() + bias[o])
    return made


def ious(mask, layers):
    """(C,) of one mask (h, w); `layers` are (weight, bias), the last one 1x1."""
    maps = mask[None]
    for weight, bias in layers[:-1]:
        maps = conv(maps, weight, bias, 2)
    maps = conv(maps, *layers[-1], 1)
    return np.array([plane.max() for plane in maps])


def binary_iou(mask, truth):
    """IoU of a soft mask above one half with a 0/1 mask."""
    shared = either = 0
    for made, wanted in zip(mask.reshape(-1), truth.reshape(-1), strict=True):
        shared += made > 0.5 and wanted > 0.5
        either += made > 0.5 or wanted > 0.5
    return shared / either


def loss(masks, truths, labels, layers, smallest_area=25, weight=25.0):
    """(sum of weighted smooth L1, number of masks that entered)."""
    total, entered = 0.0, 0
    for mask, truth, label in zip(masks, truths, labels, strict=True):
        if truth.sum() <= smallest_area:
            continue
        gap = abs(ious(mask, layers)[label] - binary_iou(mask, truth))
        total += weight * (0.5 * gap * gap if gap < 1 else gap - 0.5)
        entered += 1
    return total, entered
