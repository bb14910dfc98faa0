"""Regions of interest, bin by bin and pixel by pixel, in float64. Imports nothing of ours."""

from __future__ import annotations

import math

import numpy as np


def roi_align(features, box, side, scale, samples, aligned):
    """(c, side, side): mean of bilinear samples in each bin of a box.

    Args:
        features: (c, h, w).
        box: x1, y1, x2, y2 in input pixels.
        scale: cells per input pixel.
        samples: per bin and side; 0 takes the bin's side in cells, rounded up.
        aligned: subtract half a cell; otherwise boxes have sides of at least one cell.
    """
    features = np.asarray(features, dtype=np.float64)
    shift = 0.5 if aligned else 0.0
    x1, y1, x2, y2 = (float(value) * scale - shift for value in box)
    width, height = x2 - x1, y2 - y1
    if not aligned:
        width, height = max(width, 1.0), max(height, 1.0)
    made = np.zeros((len(features), side, side))
    down = samples or math.ceil(height / side)
    across = samples or math.ceil(width / side)
    for row in range(side):
        for column in range(side):
            total = np.zeros(len(features))
            for i in range(down):
                for j in range(across):
                    y = y1 + (row + (i + 0.5) / down) * height / side
                    x = x1 + (column + (j + 0.5) / across) * width / side
                    total += _sample(features, y, x)
            made[:, row, column] = total / max(1, down * across)
    return made


def _sample(features, y, x):
    height, width = features.shape[1:]
    if y < -1 or y > height or x < -1 or x > width:
        return np.zeros(len(features))
    (top, bottom, low), (left, right, near) = _taps(y, height), _taps(x, width)
    upper = (1 - near) * features[:, top, left] + near * features[:, top, right]
    lower = (1 - near) * features[:, bottom, left] + near * features[:, bottom, right]
    return (1 - low) * upper + low * lower


def _taps(position, length):
    position = max(position, 0.0)
    first = int(position)
    if first >= length - 1:
        return length - 1, length - 1, 0.0
    return first, first + 1, position - first


def covered(mask, box):
    """Area of the mask's pixels inside a box, those on its border by their covered part."""
    x1, y1, x2, y2 = (float(value) for value in box)
    total = 0.0
    for row, line in enumerate(mask):
        tall = max(0.0, min(y2, row + 1) - max(y1, row))
        for column, value in enumerate(line):
            total += float(value) * tall * max(0.0, min(x2, column + 1) - max(x1, column))
    return total
