"""BlendMask's blending, value by value, in float64. Imports nothing of ours."""

from __future__ import annotations

import math

import numpy as np


def bilinear(image, y, x):
    """Value of (h, w) at a place where cell (i, j) lies at (i, j); beyond the outer cells they repeat, for one cell."""
    height, width = image.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    fy, fx = y - top, x - left
    above = image[top, left] * (1 - fx) + image[top, right] * fx
    below = image[bottom, left] * (1 - fx) + image[bottom, right] * fx
    return above * (1 - fy) + below * fy


def pool(image, box, side, samples=1):
    """(side, side) of (h, w) in a box, xyxy in its pixels: the mean of samples x samples places per bin.

    Args:
        samples: None takes as many as a bin has pixels, rounded up.
    """
    x1, y1, x2, y2 = box
    across, down = (x2 - x1) / side, (y2 - y1) / side
    columns, rows = (samples or max(1, math.ceil(across)), samples or max(1, math.ceil(down)))
    made = np.empty((side, side))
    for i in range(side):
        for j in range(side):
            total = 0.0
            for a in range(rows):
                for b in range(columns):
                    y, x = y1 + (i + (a + 0.5) / rows) * down, x1 + (j + (b + 0.5) / columns) * across
                    total += bilinear(image, y - 0.5, x - 0.5)
            made[i, j] = total / (rows * columns)
    return made


def resize(image, side):
    """(M, M) to (side, side): bilinear, half-pixel centres, borders repeat."""
    scale = len(image) / side
    places = [min(max((i + 0.5) * scale - 0.5, 0.0), len(image) - 1.0) for i in range(side)]
    return np.array([[bilinear(image, y, x) for x in places] for y in places])


def blend(bases, attention, box, side):
    """(side, side) logits of one object.

    Args:
        bases: (K, h, w).
        attention: (K, M, M).
        box: xyxy in pixels of the bases.
    """
    pooled = [pool(base, box, side) for base in bases]
    resized = [resize(each, side) for each in attention]
    made = np.empty((side, side))
    for i in range(side):
        for j in range(side):
            weights = [math.exp(each[i, j]) for each in resized]
            made[i, j] = sum(w * base[i, j] for w, base in zip(weights, pooled, strict=True)) / sum(weights)
    return made


def cross_entropy(logits, truth):
    """Mean over pixels."""
    pairs = zip(np.ravel(logits).tolist(), np.ravel(truth).tolist(), strict=True)
    return float(np.mean([math.log1p(math.exp(-abs(x))) + max(x, 0.0) - x * t for x, t in pairs]))


def paste(mask, box, size):
    """(H, W) values of (s, s) at pixel centres, the square stretched over a box xyxy; 0 beyond its cells."""
    x1, y1, x2, y2 = box
    framed = np.pad(mask, 1)
    made = np.zeros(size)
    for i in range(size[0]):
        for j in range(size[1]):
            y = (i + 0.5 - y1) / (y2 - y1) * len(mask) - 0.5
            x = (j + 0.5 - x1) / (x2 - x1) * len(mask) - 0.5
            if -1 < y < len(mask) and -1 < x < len(mask):
                made[i, j] = bilinear(framed, y + 1, x + 1)
    return made
