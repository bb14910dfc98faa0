"""YOLOv3's gradients; CenterNet's targets and loss: one object at a time, in Python's floats. Imports nothing of ours."""

from __future__ import annotations

import math


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def iou(a, b):
    """Of (cx, cy, w, h) boxes."""
    sides = [min(a[i] + a[i + 2] / 2, b[i] + b[i + 2] / 2) - max(a[i] - a[i + 2] / 2, b[i] - b[i + 2] / 2) for i in (0, 1)]
    shared = max(0.0, sides[0]) * max(0.0, sides[1])
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def yolo_deltas(outputs, truth, anchors, size, classes, ignore=0.7, union=True):
    """What darknet adds to the outputs of one image, by (level, anchor, row, column, channel): minus the gradient of its loss.

    Args:
        outputs: per level, [anchor][row][column] lists of x, y, w, h, objectness, classes; not activated.
        truth: (cx, cy, w, h, label) as fractions of the input.
        anchors: per level, (w, h) in pixels of an input of `size`.
    """
    deltas = {}
    for level, maps in enumerate(outputs):
        for anchor, grid in enumerate(maps):
            for row, line in enumerate(grid):
                for column, cell in enumerate(line):
                    box = _decode(cell, row, column, len(grid), anchors[level][anchor], size)
                    ignored = any(iou(box, each[:4]) > ignore for each in truth)
                    deltas[level, anchor, row, column, 4] = 0.0 if ignored else -sigmoid(cell[4])
    done = set()
    for x, y, w, h, label in truth:
        shapes = [(level, i, shape) for level, own in enumerate(anchors) for i, shape in enumerate(own)]
        level, anchor, shape = max(shapes, key=lambda each: iou((0, 0, w, h), (0, 0, each[2][0] / size, each[2][1] / size)))
        side = len(outputs[level][anchor])
        row, column = int(y * side), int(x * side)
        cell, place = outputs[level][anchor][row][column], (level, anchor, row, column)
        scale = 2 - w * h
        wanted = (x * side - column, y * side - row, math.log(w * size / shape[0]), math.log(h * size / shape[1]))
        for channel in (0, 1):
            deltas[*place, channel] = scale * (wanted[channel] - sigmoid(cell[channel]))
        for channel in (2, 3):
            deltas[*place, channel] = scale * (wanted[channel] - cell[channel])
        deltas[*place, 4] = 1 - sigmoid(cell[4])
        for label_ in range(classes):
            if label_ == label:
                deltas[*place, 5 + label_] = 1 - sigmoid(cell[5 + label_])
            elif place not in done or not union:
                deltas[*place, 5 + label_] = -sigmoid(cell[5 + label_])
        done.add(place)
    return deltas


def _decode(cell, row, column, side, anchor, size):
    return (
        (column + sigmoid(cell[0])) / side,
        (row + sigmoid(cell[1])) / side,
        math.exp(cell[2]) * anchor[0] / size,
        math.exp(cell[3]) * anchor[1] / size,
    )


def radii(h, w, overlap, official):
    """The three radii of a box."""
    o = overlap
    equations = [
        (1, h + w, w * h * (1 - o) / (1 + o), -1),
        (4, 2 * (h + w), (1 - o) * w * h, -1),
        (4 * o, -2 * o * (h + w), (o - 1) * w * h, 1),
    ]
    roots = [(a, b, math.sqrt(b * b - 4 * a * c), sign) for a, b, c, sign in equations]
    return [(b + root) / 2 if official else (b + sign * root) / (2 * a) for a, b, root, sign in roots]


def heat(objects, classes, side, overlap=0.7, official=True):
    """[class][row][column] of (x1, y1, x2, y2, label) in pixels of the map, and per object (row, column, size, offset)."""
    maps = [[[0.0] * side for _ in range(side)] for _ in range(classes)]
    entries = []
    for x1, y1, x2, y2, label in objects:
        x1, y1, x2, y2 = (min(max(v, 0), side - 1) for v in (x1, y1, x2, y2))
        w, h = x2 - x1, y2 - y1
        if w <= 0 or h <= 0:
            continue
        radius = max(0, int(min(radii(math.ceil(h), math.ceil(w), overlap, official))))
        sigma = (2 * radius + 1) / 6
        cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
        for row in range(max(0, int(cy) - radius), min(side, int(cy) + radius + 1)):
            for column in range(max(0, int(cx) - radius), min(side, int(cx) + radius + 1)):
                value = math.exp(-((row - int(cy)) ** 2 + (column - int(cx)) ** 2) / (2 * sigma**2))
                maps[label][row][column] = max(maps[label][row][column], value)
        entries.append((int(cy), int(cx), (w, h), (cx - int(cx), cy - int(cy))))
    return maps, entries


def heat_loss(p, y):
    """Of one cell and class."""
    p = min(max(p, 1e-4), 1 - 1e-4)
    return -((1 - p) ** 2) * math.log(p) if y == 1 else -((1 - y) ** 4) * p**2 * math.log(1 - p)
