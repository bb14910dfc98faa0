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
    """Shares of each activation's variance in which place, phase and object have a part (Sobol's total effects).

    The share of a factor is the variance over it with the others held fixed, averaged over these, divided by the variance over
    all: 0 where the factor changes nothing, 1 where it alone decides. Shares sum to 1, or more where factors act together.

    Args:
        activation: (o, n * p, n * p, k), rows first; place i of an axis is cell i // p, phase i % p.
        phases: p.

    Returns:
        `position`, `aliasing` and `content`, each (k,), NaN for a prototype that does not vary at all; `variance (k,)`, 0 then.
    """
    factors = by_factor(activation.astype(np.float64), phases)
    total = factors.reshape(-1, factors.shape[-1]).var(axis=0)
    total[np.sqrt(total) <= _ROUNDING * np.abs(factors).max(initial=0)] = 0
    defined = np.where(total > 0, total, np.nan)
    axes = {"content": (0,), "position": (1, 2), "aliasing": (3, 4)}
    shares = {name: factors.var(axis=over).reshape(-1, factors.shape[-1]).mean(axis=0) / defined for name, over in axes.items()}
    return {**{name: shares[name] for name in ("position", "aliasing", "content")}, "variance": total}


def by_factor(activation: Floats, phases: int) -> Floats:
    """(o, n * p, n * p, k) as (o, n, n, p, p, k): object, cell row, cell column, phase row, phase column, prototype."""
    objects, places, _, k = activation.shape
    cells = places // phases
    return activation.reshape(objects, cells, phases, cells, phases, k).transpose(0, 1, 3, 2, 4, 5)


def readout(activation: Floats, phases: int) -> dict[str, float]:
    """How well a linear map of the prototypes' activations over an object tells the object's cell: R² on places held out.

    Ridge regression on every object and phase, each object's mean taken off. The column (`x`) is told in a row of cells
    that was held out, each row in turn, and the row (`y`) in a column: so neither is ever correlated with the other among the
    cells left in. What is told beyond the grid is taken for its edge. R² is 1 minus the squared error over that of telling the
    middle, so 0 is chance and 1 is exact.

    Args:
        activation, phases: as for `total_effects`.

    Returns:
        R² for `x` and `y`, and `shuffled`: the mean of both when the columns (rows) are called in a random order in each row
        (column), over SHUFFLES orders.
    """
    factors = by_factor(activation.astype(np.float64), phases)
    objects, cells, k = factors.shape[0], factors.shape[1], factors.shape[-1]
    by_row = factors.transpose(1, 2, 0, 3, 4, 5).reshape(cells, cells, objects, -1, k)
    random = np.random.RandomState(0)
    told = np.array([[np.arange(cells)] * cells] + [[random.permutation(cells) for _ in range(cells)] for _ in range(SHUFFLES)])
    targets = told.transpose(1, 2, 0).astype(np.float64)  # (row, column, the truth and each order)
    x, y = _held_out_r2(by_row, targets), _held_out_r2(by_row.swapaxes(0, 1), targets)
    return {"x": float(x[0]), "y": float(y[0]), "shuffled": float(np.concatenate([x[1:], y[1:]]).mean())}


def border_profile(maps: Floats) -> Floats:
    """Mean deviation from the middle, by distance to the nearest border.

    Args:
        maps: (..., h, w).

    Returns:
        (..., ceil(min(h, w) / 2)): entry d is the mean |value - value in the middle| over the pixels d pixels from the border.
    """
    height, width = maps.shape[-2:]
    rows, columns = np.minimum(np.arange(height), np.arange(height)[::-1]), np.minimum(np.arange(width), np.arange(width)[::-1])
    distance = np.minimum(rows[:, None], columns[None])
    middle = maps[..., (height - 1) // 2 : height // 2 + 1, (width - 1) // 2 : width // 2 + 1].mean(axis=(-2, -1))
    deviation = np.abs(maps - middle[..., None, None])
    return np.stack([deviation[..., distance == d].mean(axis=-1) for d in range((min(height, width) + 1) // 2)], axis=-1)


def reach(profile: Floats) -> int:
    """How many entries of a (d,) profile it takes until all that follow are at most REACH of its largest.

    The profile is relative to the strength of the map; 0 where that is even up to rounding.
    """
    above = np.flatnonzero(profile > max(REACH * profile.max(), _ROUNDING))
    return int(above[-1]) + 1 if len(above) else 0


def _held_out_r2(samples: Floats, targets: Floats) -> Floats:
    """(t,) R² of (rows, columns, t) targets from (rows, columns, objects, phases, k) samples, one row held out at a time."""
    rows, columns, objects, phases, k = samples.shape
    error, chance = np.zeros(targets.shape[-1]), np.zeros(targets.shape[-1])
    for held in range(rows):
        left = np.arange(rows) != held
        centred = samples - samples[left].mean(axis=(0, 1, 3), keepdims=True)  # of each object
        spread = np.sqrt((centred[left] ** 2).mean(axis=(0, 1, 2, 3)))
        scale = np.where(spread > _ROUNDING * np.abs(samples).max(initial=0), spread, np.inf)
        features = (centred / scale).reshape(rows, columns, objects * phases, k)
        known = features[left].reshape(-1, k)
        middle = targets[left].mean(axis=(0, 1))
        goals = targets - middle
        goal = np.repeat(goals[left][:, :, None], objects * phases, axis=2).reshape(len(known), -1)
        weights = np.linalg.solve(known.T @ known + RIDGE * len(known) * np.eye(k), known.T @ goal)
        told = np.clip(features[held] @ weights, targets.min() - middle, targets.max() - middle)
        error += ((told - goals[held][:, None]) ** 2).sum(axis=(0, 1))
        chance += objects * phases * (goals[held] ** 2).sum(axis=0)
    return 1 - error / chance
