"""Masks of the slow second YOLACT: bilinear resizing, cropping, assembly, box sanitising, pooling; loops and float64."""

from __future__ import annotations

from math import exp, floor

import numpy as np


def sigmoid(x):
    return 1 / (1 + exp(-x)) if x >= 0 else exp(x) / (1 + exp(x))


def bilinear(image, height, width):
    """Resize (h, w) to (height, width): sample positions at pixel centres (align_corners=False), borders repeated."""
    image = np.asarray(image, dtype=np.float64)

    def taps(out, size):
        rows = []
        for i in range(out):
            position = max((i + 0.5) * size / out - 0.5, 0.0)
            low = min(floor(position), size - 1)
            rows.append((low, min(low + 1, size - 1), position - low))
        return rows

    result = np.empty((height, width))
    columns = taps(width, image.shape[1])
    for y, (y0, y1, fy) in enumerate(taps(height, image.shape[0])):
        for x, (x0, x1, fx) in enumerate(columns):
            top = image[y0, x0] * (1 - fx) + image[y0, x1] * fx
            bottom = image[y1, x0] * (1 - fx) + image[y1, x1] * fx
            result[y, x] = top * (1 - fy) + bottom * fy
    return result


def sanitise(a, b, size, padding=0.0):
    """Two fractions to an ordered pair of pixels, padded, then held inside [0, size]."""
    a, b = float(a) * size, float(b) * size
    return max(min(a, b) - padding, 0.0), min(max(a, b) + padding, float(size))


def inside(box, height, width, padding=1.0):
    """(height, width) bool: which pixels a crop by this box (xyxy fractions) leaves."""
    x1, x2 = sanitise(box[0], box[2], width, padding)
    y1, y2 = sanitise(box[1], box[3], height, padding)
    return np.array([[y1 <= y < y2 and x1 <= x < x2 for x in range(width)] for y in range(height)], dtype=bool).reshape(
        height, width
    )


def assemble(prototypes, coefficients, box, height, width, crop=True, threshold=0.5):
    """One (height, width) bool mask of prototypes (k, h, w), coefficients (k,) and a predicted box (xyxy fractions)."""
    k, h, w = prototypes.shape
    small = np.array(
        [
            [sigmoid(sum(float(prototypes[i, y, x]) * float(coefficients[i]) for i in range(k))) for x in range(w)]
            for y in range(h)
        ]
    )
    if crop:
        small = small * inside(box, h, w)
    return bilinear(small, height, width) > threshold


def integer_box(box, height, width):
    """xyxy pixels as the official post-processing gives them: ordered, clamped, truncated."""
    x1, x2 = sanitise(box[0], box[2], width)
    y1, y2 = sanitise(box[1], box[3], height)
    return int(x1), int(y1), int(x2), int(y2)


def paste(small, box, height, width, threshold=0.5):
    """The fc-mask way: a (s, s) probability map resized into its integer box, (height, width) bool."""
    x1, y1, x2, y2 = integer_box(box, height, width)
    full = np.zeros((height, width), dtype=bool)
    if x2 > x1 and y2 > y1:
        full[y1:y2, x1:x2] = bilinear(small, y2 - y1, x2 - x1) > threshold
    return full


def adaptive_average(image, size):
    """Adaptive average pooling of (h, w) to (size, size): bin i covers floor(i h / size) up to ceil((i + 1) h / size)."""
    image = np.asarray(image, dtype=np.float64)
    height, width = image.shape
    edges = lambda n: [(i * n // size, -((-(i + 1) * n) // size)) for i in range(size)]  # noqa: E731
    return np.array([[image[y0:y1, x0:x1].mean() for x0, x1 in edges(width)] for y0, y1 in edges(height)])
