"""How a mask comes out of prototypes, step by step: sigmoid(Σ coefficient × prototype), cropped by the box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.measures.prototypes.read import Assembly, KeptImage


def windows(image: KeptImage, padding: int) -> NDArray[np.int64]:
    """(n, 4) x1, y1, x2, y2 in prototype pixels, half open: what the crop by each box leaves.

    Pixel column x stays when x1 * w / W - padding <= x < x2 * w / W + padding; rows alike.
    """
    height, width = image.prototypes.shape[1:]
    sides = np.array([width, height, width, height])
    scale = sides / np.array([image.image.shape[1], image.image.shape[0]] * 2)
    widened = image.boxes.astype(np.float64) * scale + np.array([-padding, -padding, padding, padding])
    return np.clip(np.ceil(widened), 0, sides).astype(np.int64)


def contributions(image: KeptImage, padding: int) -> NDArray[np.float64]:
    """(n, k) mean over each instance's window of |coefficient × prototype|: how much each prototype moves its mask."""
    means = [
        np.abs(image.prototypes[:, y1:y2, x1:x2]).mean(axis=(1, 2), dtype=np.float64)
        if x2 > x1 and y2 > y1
        else np.zeros(len(image.prototypes))
        for x1, y1, x2, y2 in windows(image, padding)
    ]
    return np.abs(image.coefficients.astype(np.float64)) * np.array(means).reshape(image.coefficients.shape)


@dataclass(frozen=True)
class Strip:
    """The assembly of one instance, (h, w) each."""

    order: NDArray[np.intp]
    """(k,) prototypes, the largest contribution first."""
    terms: NDArray[np.float64]
    """(k, h, w) coefficient × prototype, in that order."""
    sums: NDArray[np.float64]
    """(k, h, w) running sums of the terms; the last is the logit."""
    probability: NDArray[np.float64]
    """(h, w) sigmoid of the last sum."""
    cropped: NDArray[np.float64]
    """(h, w) the same, zero outside the window; not cropped where the network doesn't."""


def strip(image: KeptImage, instance: int, assembly: Assembly) -> Strip:
    """The steps from prototypes to the mask of one instance (an index into `image.scores`)."""
    order = np.argsort(-contributions(image, assembly.padding)[instance], kind="stable")
    terms = image.coefficients[instance, order, None, None].astype(np.float64) * image.prototypes[order]
    sums = terms.cumsum(axis=0)
    probability = np.exp(-np.logaddexp(0, -sums[-1]))
    cropped = probability
    if assembly.crop:
        x1, y1, x2, y2 = windows(image, assembly.padding)[instance]
        cropped = np.zeros_like(probability)
        cropped[y1:y2, x1:x2] = probability[y1:y2, x1:x2]
    return Strip(order, terms, sums, probability, cropped)
