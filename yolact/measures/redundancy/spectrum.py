"""How much k prototypes repeat each other, from their covariance over pixels. NumPy alone, float64.

Masks are linear in the prototypes before the sigmoid, and a coefficient may have either sign: a prototype that equals another
one times a factor, negative ones included, plus a constant says nothing that the other doesn't.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def principal_components(covariance: Array) -> tuple[Array, Array]:
    """Eigenvalues (k,), largest first and none below 0, and the unit eigenvectors (k, k) as columns in the same order.

    Args:
        covariance: (k, k), symmetric.
    """
    values, vectors = np.linalg.eigh(covariance)
    return np.clip(values[::-1], 0, None), vectors[:, ::-1].copy()


def effective_rank(eigenvalues: Array) -> float:
    """exp of the entropy of the eigenvalues divided by their sum: 1 where one component carries all variance, k where all k
    carry the same. 0 where nothing varies.

    Source: O. Roy and M. Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO 2007; there of singular
    values, here of the eigenvalues of a covariance, hence of shares of variance.
    """
    total = eigenvalues.sum()
    if total <= 0:
        return 0.0
    shares = eigenvalues / total
    positive = shares[shares > 0]
    return float(np.exp(-(positive * np.log(positive)).sum()))


def explained(eigenvalues: Array) -> Array:
    """(k,) share of the variance, in 0..1, that the first 1, 2, ... k components carry; ones where nothing varies.

    Args:
        eigenvalues: (k,), largest first.
    """
    total = eigenvalues.sum()
    return np.minimum(np.cumsum(eigenvalues) / total, 1) if total > 0 else np.ones_like(eigenvalues)


def correlation(covariance: Array) -> Array:
    """(k, k) correlations in -1..1, ones on the diagonal; 0 between a prototype that doesn't vary and any other."""
    deviation = np.sqrt(np.clip(np.diag(covariance), 0, None))
    varies = deviation > 0
    scale = np.where(varies, deviation, 1)
    found = np.where(varies[:, None] & varies[None], covariance / scale[:, None] / scale[None], 0)
    np.fill_diagonal(found, 1)
    return np.clip(found, -1, 1)


def near_duplicates(correlations: Array, threshold: float) -> list[list[int]]:
    """Groups of two or more prototypes that chains of |r| > threshold connect, each in ascending order, by first member."""
    linked = np.abs(correlations) > threshold
    left, groups = list(range(len(linked))), []
    while left:
        group, fresh = set(), {left[0]}
        while fresh:
            group |= fresh
            fresh = {int(near) for one in fresh for near in np.flatnonzero(linked[one])} - group
        left = [one for one in left if one not in group]
        if len(group) > 1:
            groups.append(sorted(group))
    return groups
