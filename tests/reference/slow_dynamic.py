"""CondInst's dynamic mask head, pixel by pixel, in float64. Imports nothing of ours."""

from __future__ import annotations

import numpy as np


def layers(parameters, shapes):
    """[(weights (outputs, inputs), biases)]: all weights come first, layer by layer, then all biases."""
    parameters, start, made = np.asarray(parameters, dtype=np.float64), 0, []
    for outputs, inputs in shapes:
        made.append(parameters[start : start + outputs * inputs].reshape(outputs, inputs))
        start += outputs * inputs
    pairs = []
    for weights in made:
        pairs.append((weights, parameters[start : start + len(weights)]))
        start += len(weights)
    assert start == len(parameters)
    return pairs


def logits(parameters, shapes, features, location, unit=None):
    """(h, w) logits of one object at stride 8.

    Args:
        features: (m, h, w).
        location: x, y in input pixels.
        unit: pixels in which relative positions are measured; None leaves them out.
    """
    network = layers(parameters, shapes)
    height, width = features.shape[1:]
    made = np.empty((height, width))
    for row in range(height):
        for column in range(width):
            values = [float(channel[row, column]) for channel in features]
            if unit is not None:
                values = [(location[0] - (8 * column + 4)) / unit, (location[1] - (8 * row + 4)) / unit, *values]
            for number, (weights, biases) in enumerate(network):
                values = [float(np.dot(line, values) + bias) for line, bias in zip(weights, biases, strict=True)]
                if number < len(network) - 1:
                    values = [max(value, 0.0) for value in values]
            made[row, column] = values[0]
    return made


def aligned(image, factor):
    """Upsample (h, w): cell i becomes i * factor + factor // 2, linear between, constant beyond."""
    height, width = image.shape
    made = np.empty((height * factor, width * factor))

    def place(index, count):
        position = min(max((index - factor // 2) / factor, 0.0), count - 1.0)
        low = int(position)
        return low, min(low + 1, count - 1), position - low

    for row in range(height * factor):
        y0, y1, fy = place(row, height)
        for column in range(width * factor):
            x0, x1, fx = place(column, width)
            top = image[y0, x0] * (1 - fx) + image[y0, x1] * fx
            bottom = image[y1, x0] * (1 - fx) + image[y1, x1] * fx
            made[row, column] = top * (1 - fy) + bottom * fy
    return made


def dice(probabilities, truth):
    """1 - dice, with squares in the denominator."""
    overlap = squares = 0.0
    for p, g in zip(np.ravel(probabilities).tolist(), np.ravel(truth).tolist(), strict=True):
        overlap += p * g
        squares += p * p + g * g
    return 1 - 2 * overlap / (squares + 1e-5)
