"""Slow deformable convolution: one sample at a time, in float64."""

from __future__ import annotations

import math

import numpy as np


def bilinear(plane, y, x):
    """The value of a plane (H, W) at a place between its pixels; corners outside are 0, and so is all a pixel or more away."""
    height, width = plane.shape
    if y <= -1 or y >= height or x <= -1 or x >= width:
        return 0.0
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for row, share_y in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, share_x in ((left, 1 - (x - left)), (left + 1, x - left)):
            if 0 <= row < height and 0 <= column < width:
                total += share_y * share_x * plane[row, column]
    return total


def deformable_conv(maps, offsets, factors, weight, bias, stride=1, padding=1):
    """maps (c, H, W), offsets (18, h, w): dy and dx of tap 0, of tap 1, ...; factors (9, h, w) or None; weight (o, c, 3, 3).

    Returns (o, h, w).
    """
    channels = len(maps)
    outputs, (height, width) = len(weight), offsets.shape[1:]
    made = np.zeros((outputs, height, width))
    for i in range(height):
        for j in range(width):
            sampled = np.zeros((channels, 9))
            for tap in range(9):
                y = i * stride - padding + tap // 3 + offsets[2 * tap, i, j]
                x = j * stride - padding + tap % 3 + offsets[2 * tap + 1, i, j]
                factor = 1.0 if factors is None else factors[tap, i, j]
                for c in range(channels):
                    sampled[c, tap] = factor * bilinear(maps[c], float(y), float(x))
            for o in range(outputs):
                made[o, i, j] = (weight[o].reshape(channels, 9) * sampled).sum() + bias[o]
    return made
