"""SOLO's targets, losses and suppression, one cell, pixel and pair at a time, in Python's floats. Imports nothing of ours."""

from __future__ import annotations

import math


def overlap(one, other):
    """IoU of two masks, given as sets of pixels."""
    return len(one & other) / len(one | other) if one | other else 0.0


def pixels(mask):
    """The set pixels (row, column) of a mask given as rows of 0 and 1."""
    return {(y, x) for y, row in enumerate(mask) for x, value in enumerate(row) if value}


def matrix_nms(masks, labels, scores, kernel="gaussian", sigma=2.0):
    """New scores of masks, sets of pixels, that stand in descending order of their scores."""
    n = len(masks)

    def iou(i, j):
        return overlap(masks[i], masks[j]) if i < j and labels[i] == labels[j] else 0.0

    def f(x):
        return math.exp(-sigma * x * x) if kernel == "gaussian" else 1.0 - x

    changed = []
    for j in range(n):
        decay = math.inf
        for i in range(n):
            worst = max((iou(k, i) for k in range(i)), default=0.0)
            if f(worst) != 0.0:
                decay = min(decay, f(iou(i, j)) / f(worst))
        changed.append(scores[j] * decay)
    return changed


def greedy(masks, labels, threshold):
    """Indices of the masks that stay."""
    stays = []
    for j in range(len(masks)):
        if all(labels[i] != labels[j] or overlap(masks[i], masks[j]) <= threshold for i in stays):
            stays.append(j)
    return stays


def peaks(scores, neighbours):
    """A grid of scores, 0 where one of `neighbours` (row, column offsets) has more."""
    rows, columns = len(scores), len(scores[0])
    kept = [list(row) for row in scores]
    for i in range(rows):
        for j in range(columns):
            for di, dj in neighbours:
                y, x = i + di, j + dj
                if 0 <= y < rows and 0 <= x < columns and scores[y][x] > scores[i][j]:
                    kept[i][j] = 0.0
    return kept


def claims(side, grids, ranges, boxes, masks, sigma=0.2):
    """(object, level, row, column) of every cell that an object makes positive, by level, then object."""
    found = []
    for level, (n, (low, high)) in enumerate(zip(grids, ranges, strict=True)):
        for number, ((x1, y1, x2, y2), mask) in enumerate(zip(boxes, masks, strict=True)):
            inside = pixels(mask)
            if not inside or not low <= math.sqrt((x2 - x1) * (y2 - y1)) <= high:
                continue
            cx = sum(x for _, x in inside) / len(inside)
            cy = sum(y for y, _ in inside) / len(inside)
            hw, hh = 0.5 * (x2 - x1) * sigma, 0.5 * (y2 - y1) * sigma

            def cell(v, n=n):
                return math.floor(v * n / side)

            top, bottom = max(0, cell(cy - hh), cell(cy) - 1), min(n - 1, cell(cy + hh), cell(cy) + 1)
            left, right = max(0, cell(cx - hw), cell(cx) - 1), min(n - 1, cell(cx + hw), cell(cx) + 1)
            found += [(number, level, i, j) for i in range(top, bottom + 1) for j in range(left, right + 1)]
    return found


def shrink(mask, factor):
    """A mask at 1 / factor: 1 where at least half of the 2 x 2 pixels in the middle of a block are set."""
    h = factor // 2
    return [
        [
            float(mask[y + h - 1][x + h - 1] + mask[y + h - 1][x + h] + mask[y + h][x + h - 1] + mask[y + h][x + h] >= 2)
            for x in range(0, len(mask[0]), factor)
        ]
        for y in range(0, len(mask), factor)
    ]


def dice(made, wanted):
    """Loss of a mask of probabilities against one of 0 and 1, each a flat list."""
    both = sum(p * t for p, t in zip(made, wanted, strict=True))
    return 1 - 2 * both / (sum(p * p for p in made) + 0.001 + sum(t * t for t in wanted) + 0.001)


def focal(logits, labels, alpha=0.25, gamma=2.0):
    """Summed focal loss of cells' logits, a list per cell; a label of None is background."""
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        for category, z in enumerate(row):
            p = 1 / (1 + math.exp(-z))
            if category == label:
                total += alpha * (1 - p) ** gamma * -math.log(p)
            else:
                total += (1 - alpha) * p**gamma * -math.log(1 - p)
    return total
