"""Pooling, warping and voting of regions, one sample and one pixel at a time, in Python's floats. Imports nothing of ours."""

from __future__ import annotations

from math import floor


def sample(grid, y, x):
    """A map given as rows, at a place where (0, 0) is the centre of its first cell; its border repeats."""
    height, width = len(grid), len(grid[0])
    y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
    top, left = floor(y), floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    upper = grid[top][left] * (1 - across) + grid[top][right] * across
    lower = grid[bottom][left] * (1 - across) + grid[bottom][right] * across
    return upper * (1 - down) + lower * down


def position_sensitive(maps, region, group, bins, stride, samples=1):
    """[output][row][column] of a region (x1, y1, x2, y2) in pixels, inside the image; maps are lists of rows."""
    outputs = len(maps) // group**2
    x1, y1, x2, y2 = (float(value) / stride for value in region)
    high, wide = (y2 - y1) / bins, (x2 - x1) / bins
    side = bins // group
    found = [[[0.0] * bins for _ in range(bins)] for _ in range(outputs)]
    for output in range(outputs):
        for row in range(bins):
            for column in range(bins):
                grid = maps[(output * group + row // side) * group + column // side]
                for i in range(samples):
                    for j in range(samples):
                        y = y1 + (row + (i + 0.5) / samples) * high - 0.5
                        x = x1 + (column + (j + 0.5) / samples) * wide - 0.5
                        found[output][row][column] += sample(grid, y, x) / samples**2
    return found


def warp(grid, box, side, stride):
    """[row][column]: the map at the centres of the bins of a box in pixels."""
    x1, y1, x2, y2 = (float(value) / stride for value in box)
    centres = [(i + 0.5) / side for i in range(side)]
    return [[sample(grid, y1 + v * (y2 - y1) - 0.5, x1 + u * (x2 - x1) - 0.5) for u in centres] for v in centres]


def iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def vote(box, voters, height, width, threshold):
    """The pixels [row][column] of a detection; a voter is (box, its score for the detection's class, its pixels)."""
    near = [each for each in voters if iou(box, each[0]) >= 0.5]
    total = sum(score for _, score, _ in near)
    return [
        [sum(score for _, score, pixels in near if pixels[y][x]) / total >= threshold for x in range(width)]
        for y in range(height)
    ]
