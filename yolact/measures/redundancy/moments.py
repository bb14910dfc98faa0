"""Sums over images of what the prototypes are and of how detections use them.

k prototypes of (h, w), C classes. All sums are float64.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from yolact.errors import UserError
from yolact.measures.prototypes.measure import SCORE_THRESHOLD
from yolact.structures import Detections

Array = NDArray[np.float64]


class PrototypeMoments:
    """Mean and covariance of the prototypes' pixels, and the use of each prototype.

    A detection *uses* a prototype by |coefficient| x the root mean square of the prototype's activation over that image: about
    how far the prototype moves that mask's logits. Detections below `SCORE_THRESHOLD` don't count.
    """

    def __init__(self, k: int, classes: int) -> None:
        self.images = 0
        self.pixels = 0
        self._sum = np.zeros(k)
        self._products = np.zeros((k, k))
        self._positive = np.zeros(k)
        self._use = np.zeros((classes, k))
        self.detections_per_class: NDArray[np.int64] = np.zeros(classes, np.int64)

    def add(self, found: Detections) -> None:
        """Count one image.

        Args:
            found: with `prototypes` (k, h, w), on any device; without `coefficients` (n, k), as of masks that are no linear
                combinations, use is not counted.

        Raises:
            UserError: the prototypes are not finite numbers.
        """
        if found.prototypes is None:
            raise ValueError("detections were made without prototypes")
        pixels = found.prototypes.flatten(1).double()  # (k, hw)
        products = (pixels @ pixels.T).cpu().numpy()
        if not np.isfinite(products).all():
            raise UserError(
                "the network's prototypes are not finite numbers: its training diverged; train it with a lower training.lr"
            )
        self.images += 1
        self.pixels += pixels.shape[1]
        self._sum += pixels.sum(dim=1).cpu().numpy()
        self._products += products
        if found.coefficients is None:
            return
        chosen = found.scores >= SCORE_THRESHOLD
        activation = np.sqrt(np.diag(products) / pixels.shape[1])  # (k,)
        self._count(_numbers(found.coefficients[chosen]), found.labels[chosen].cpu().numpy(), activation)

    def _count(self, coefficients: Array, labels: NDArray[np.int64], activation: Array) -> None:
        np.add.at(self._use, labels, np.abs(coefficients) * activation)
        np.add.at(self.detections_per_class, labels, 1)
        self._positive += (coefficients > 0).sum(axis=0)

    @property
    def detections(self) -> int:
        return int(self.detections_per_class.sum())

    @property
    def mean(self) -> Array:
        """(k,) over all pixels of all images."""
        return self._sum / self.pixels

    @property
    def covariance(self) -> Array:
        """(k, k) over all pixels of all images, divided by their number."""
        return self._products / self.pixels - np.outer(self.mean, self.mean)

    @property
    def use(self) -> Array:
        """(k,) mean over the detections; NaN without any."""
        return _divide(self._use.sum(axis=0), self.detections)

    @property
    def use_per_class(self) -> Array:
        """(C, k) mean over the detections of each class; NaN for a class without any."""
        return _divide(self._use, self.detections_per_class[:, None])

    @property
    def positive_share(self) -> Array:
        """(k,) share of the detections, in 0..1, whose coefficient is above 0; NaN without any."""
        return _divide(self._positive, self.detections)


def _divide(sums: Array, counts: int | NDArray[np.int64]) -> Array:
    """Sums over counts, NaN where there is nothing to divide by."""
    with np.errstate(invalid="ignore"):
        return sums / counts


def _numbers(tensor: torch.Tensor) -> Array:
    return tensor.double().cpu().numpy()
