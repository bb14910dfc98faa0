"""FCOS's assignment of points to objects, one point and one object at a time, in Python's floats. Imports nothing of ours."""

from __future__ import annotations

import math


def points(side, strides):
    """(x, y, stride) in pixels, level by level, row by row."""
    found = []
    for stride in strides:
        count = math.ceil(side / stride)
        for row in range(count):
            for column in range(count):
                found.append((column * stride + stride // 2, row * stride + stride // 2, stride))
    return found


def mass_centre(mask):
    """Mean whole-pixel (x, y) of a mask given as rows of 0 and 1."""
    pixels = [(x, y) for y, row in enumerate(mask) for x, value in enumerate(row) if value]
    return sum(x for x, _ in pixels) / len(pixels), sum(y for _, y in pixels) / len(pixels)


def assign(side, strides, sizes, boxes, labels, crowds, radius=1.5, centres=None):
    """Per point: (class, object or None, (l, t, r, b) in strides or None, centerness or None); class -1 is neutral."""
    ends = [-1.0, *sizes, math.inf]
    made = []
    for x, y, stride in points(side, strides):
        level = strides.index(stride)
        best = None
        for number, (x1, y1, x2, y2) in enumerate(boxes):
            cx, cy = centres[number] if centres else ((x1 + x2) / 2, (y1 + y2) / 2)
            left, top = max(x1, cx - radius * stride), max(y1, cy - radius * stride)
            right, bottom = min(x2, cx + radius * stride), min(y2, cy + radius * stride)
            if not (left < x < right and top < y < bottom):
                continue
            if not ends[level] <= max(x - x1, y - y1, x2 - x, y2 - y) <= ends[level + 1]:
                continue
            area = (x2 - x1) * (y2 - y1)
            if best is None or area < best[0]:
                best = area, number
        if best is not None:
            x1, y1, x2, y2 = boxes[best[1]]
            l, t, r, b = (x - x1) / stride, (y - y1) / stride, (x2 - x) / stride, (y2 - y) / stride  # noqa: E741
            centre = math.sqrt(min(l, r) / max(l, r) * min(t, b) / max(t, b))
            made.append((labels[best[1]] + 1, best[1], (l, t, r, b), centre))
        elif any(x1 < x < x2 and y1 < y < y2 for x1, y1, x2, y2 in crowds):
            made.append((-1, None, None, None))
        else:
            made.append((0, None, None, None))
    return made
