"""How much of an activation is place: numbers from activations on a grid of places, torch-free.

o objects, n cells and p phases along each axis, k prototypes. Cells differ by multiples of the network's largest stride, phases
by less: a network without a sense of place answers alike in every cell, but not at every phase (aliasing).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

RIDGE = 1e-2
"""Penalty of the readout's squared weights, as a fraction of the number of samples; features have variance 1."""
SHUFFLES = 20
"""Random orders of the cells that the readout's control is averaged over."""
REACH = 0.1
"""The padding reaches as far as the deviation from the middle is above this fraction of its largest value."""
_ROUNDING = 1e-5
"""Standard deviations below this fraction of the largest activation are float32 rounding, not variation."""


def total_effects(activation: Floats, phases: int) -> dict[str, Floats]:
    """Shares of the variance of each prototype's activation that place, phase and object have a part in (Sobol's total effects).

    The share of a factor is the variance over it with the others held fixed, averaged over these, divided by the total variance:
    0 where the factor changes nothing, 1 where it alone decides. Shares sum to 1, or more where factors act together.

    Args:
        activation: (o, n * p, n * p, k), rows first; place i of an axis is cell i // p, phase i % p.
        phases: p.

    Returns:
        `position`, `aliasing` and `content`, each (k,); NaN for a prototype that does not vary at all.
    """
    factors = by_factor(activation.astype(np.float64), phases)
    total = factors.reshape(-1, factors.shape[-1]).var(axis=0)
    total[np.sqrt(total) <= _ROUNDING * np.abs(factors).max(initial=0)] = np.nan
    axes = {"content": (0,), "position": (1, 2), "aliasing": (3, 4)}
    shares = {
        name: factors.var(axis=over).reshape(-1, factors.shape[-1]).mean(axis=0) / total for name, over in axes.items()
    }
    return {name: shares[name] for name in ("position", "aliasing", "content")}


def by_factor(activation: Floats, phases: int) -> Floats:
    """(o, n * p, n * p, k) as (o, n, n, p, p, k): object, cell row, cell column, phase row, phase column, prototype."""
    objects, places, _, k = activation.shape
    cells = places // phases
    return activation.reshape(objects, cells, phases, cells, phases, k).transpose(0, 1, 3, 2, 4, 5)


def readout(activation: Floats, phases: int) -> dict[str, float]:
    """How well a linear map of the prototypes' activations over an object tells the object's cell: R² on places held out.

    Ridge regression on every object and phase, each object's mean taken off, one cell held out at a time. R² is 1 minus
    the squared error over that of predicting the mean of the cells left in, so 0 is chance and 1 is exact.

    Args:
        activation, phases: as for `total_effects`.

    Returns:
        R² for `x` and `y`, and `shuffled`: the mean of both when cells are told in a random order, over SHUFFLES orders.
    """
    factors = by_factor(activation.astype(np.float64), phases)
    objects, cells, k = factors.shape[0], factors.shape[1], factors.shape[-1]
    samples = factors.transpose(1, 2, 0, 3, 4, 5).reshape(cells * cells, objects, -1, k)  # (cells, objects, phases, k)
    rows, columns = (axis.reshape(-1).astype(np.float64) for axis in np.mgrid[0:cells, 0:cells])
    random = np.random.RandomState(0)
    orders = np.stack([random.permutation(cells * cells) for _ in range(SHUFFLES)])
    targets = np.concatenate([columns[:, None], rows[:, None], columns[orders].T, rows[orders].T], axis=1)
    found = _held_out_r2(samples, targets)
    return {"x": float(found[0]), "y": float(found[1]), "shuffled": float(found[2:].mean())}


def border_profile(maps: Floats) -> Floats:
    """Mean deviation from the middle, by distance to the nearest border.

    Args:
        maps: (..., h, w).

    Returns:
        (..., ceil(min(h, w) / 2)): entry d is the mean |value - value in the middle| over the pixels that lie d pixels from the border.
    """
    height, width = maps.shape[-2:]
    rows, columns = np.minimum(np.arange(height), np.arange(height)[::-1]), np.minimum(np.arange(width), np.arange(width)[::-1])
    distance = np.minimum(rows[:, None], columns[None])
    middle = maps[..., (height - 1) // 2 : height // 2 + 1, (width - 1) // 2 : width // 2 + 1].mean(axis=(-2, -1))
    deviation = np.abs(maps - middle[..., None, None])
    return np.stack([deviation[..., distance == d].mean(axis=-1) for d in range((min(height, width) + 1) // 2)], axis=-1)


def reach(profile: Floats) -> int:
    """How many entries of a (d,) profile, relative to the map's strength, it takes until all that follow are at most REACH of its
    largest; 0 for a map that is even up to rounding."""
    above = np.flatnonzero(profile > max(REACH * profile.max(), _ROUNDING))
    return int(above[-1]) + 1 if len(above) else 0


def _held_out_r2(samples: Floats, targets: Floats) -> Floats:
    """(t,) R² of (cells, t) targets from (cells, objects, phases, k) samples, one cell held out at a time."""
    cells, objects, phases, k = samples.shape
    per_cell = objects * phases
    error, chance = np.zeros(targets.shape[1]), np.zeros(targets.shape[1])
    for held in range(cells):
        left = np.arange(cells) != held
        mean = samples[left].mean(axis=(0, 2), keepdims=True)  # of each object
        centred = samples - mean
        spread = np.sqrt((centred[left] ** 2).mean(axis=(0, 1, 2)))
        scale = np.where(spread > _ROUNDING * np.abs(samples).max(initial=0), spread, np.inf)
        features = (centred / scale).reshape(cells, per_cell, k)
        base = targets[left].mean(axis=0)
        known = features[left].reshape(-1, k)
        goal = np.repeat(targets[left] - base, per_cell, axis=0)
        weights = np.linalg.solve(known.T @ known + RIDGE * len(known) * np.eye(k), known.T @ goal)
        told = features[held] @ weights + base
        error += ((told - targets[held]) ** 2).sum(axis=0)
        chance += per_cell * (base - targets[held]) ** 2
    return 1 - error / chance
