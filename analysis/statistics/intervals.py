"""How sure a difference is: over seeds where networks were retrained, over images where they share one training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.bootstrap import average_precision, load_matches, resample
from yolact.errors import UserError

Method = Literal["seeds", "images", "images of one seed", "none"]
"""What an interval's randomness is: paired seeds (t interval), or images (paired bootstrap). An interval over the images of
one seed of a *retrained* variant doesn't contain the variance between trainings. `none`: no interval can be given."""


class PairingError(UserError):
    """Two evaluations were not made on the same images, so they cannot be compared in pairs."""


@dataclass(frozen=True)
class Difference:
    """A paired difference, variant minus reference, in the unit of its metric."""

    mean: float
    low: float
    """Lower end of the 95 % interval; NaN without one."""
    high: float
    """Upper end of the 95 % interval; NaN without one."""
    n: int
    """Seeds that both have."""
    method: Method

    @property
    def clearly(self) -> bool:
        """The 95 % interval excludes 0 and contains the variance between trainings where there is any."""
        return self.method in ("seeds", "images") and (self.low > 0 or self.high < 0)


def over_seeds(differences: Sequence[float]) -> Difference:
    """The t interval of paired differences, one per seed; without an interval for a single seed.

    Raises:
        ValueError: `differences` is empty.
    """
    n = len(differences)
    if n == 0:
        raise ValueError("a difference over seeds needs at least one seed that both variants have")
    mean = math.fsum(differences) / n
    if n == 1:
        return Difference(mean, math.nan, math.nan, 1, "none")
    half = t_quantile(n - 1) * sample_sd(differences) / math.sqrt(n)
    return Difference(mean, mean - half, mean + half, n, "seeds")


def over_images(
    pairs: Sequence[tuple[Path, Path]], iou_type: str, names: tuple[str, ...], retrained: bool, resamples: int = 1000
) -> dict[str, Difference]:
    """Paired bootstrap over images: the same resample for both files of a pair and for every pair.

    Args:
        pairs: one (variant's, reference's) `matches.npz` per seed; the statistic is the mean over them of the difference.
        iou_type: `segm` or `bbox`.
        names: of `bootstrap.AP_NAMES`.
        retrained: whether the two were trained apart, so that the interval misses a part of the variance.
        resamples: how many; the interval is the percentiles 2.5 and 97.5.

    Returns:
        For each name the difference in percent points (AP × 100). Without an interval where AP is undefined (-1).

    Raises:
        PairingError: the files hold different images.
    """
    total = {name: np.zeros(resamples + 1) for name in names}
    for ours, reference in pairs:
        (first, a), (second, b) = (_resampled(path, iou_type, names, resamples) for path in (ours, reference))
        if not np.array_equal(first, second):
            raise PairingError(f"{ours} and {reference} hold different images; a paired bootstrap needs the same ones")
        for name in names:
            defined = (a[name] >= 0) & (b[name] >= 0)
            total[name] = total[name] + np.where(defined, 100 * (a[name] - b[name]), np.nan) / len(pairs)
    method: Method = "images of one seed" if retrained else "images"
    return {name: _percentiles(total[name], len(pairs), method) for name in names}


def _resampled(
    path: Path, iou_type: str, names: tuple[str, ...], resamples: int
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """The image ids of a file, and its precisions on the data itself (first) and on each resample."""
    return _resampled_once(path, path.stat().st_mtime_ns, iou_type, names, resamples)


@lru_cache(maxsize=256)
def _resampled_once(path: Path, modified: int, iou_type: str, names: tuple[str, ...], resamples: int):
    """Kept, because the reference is compared with every variant."""
    matches = load_matches(path, iou_type)
    images = len(matches.image_ids)
    weights = np.concatenate([np.ones((1, images), np.int64), resample(images, resamples)])
    return matches.image_ids, average_precision(matches, weights, names)


def _percentiles(values: np.ndarray, n: int, method: Method) -> Difference:
    """The difference on the data itself (first value) and the interval from its resamples (the others)."""
    defined = values[1:][~np.isnan(values[1:])]
    if math.isnan(values[0]) or len(defined) == 0:
        return Difference(float(values[0]), math.nan, math.nan, n, "none")
    low, high = np.percentile(defined, [2.5, 97.5])
    return Difference(float(values[0]), float(low), float(high), n, method)


def sample_sd(values: Sequence[float]) -> float:
    """The sample standard deviation (n - 1 in the denominator); NaN for fewer than two values."""
    if len(values) < 2:
        return math.nan
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def t_quantile(degrees: int, probability: float = 0.975) -> float:
    """The quantile of Student's t distribution with `degrees` >= 1 degrees of freedom, for a probability in 0.5..1."""
    low, high = 0.0, 1e6
    while high - low > 1e-12 * max(1.0, high):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_cumulative(middle, degrees) < probability else (low, middle)
    return (low + high) / 2


def _t_cumulative(t: float, degrees: int) -> float:
    """P(T <= t) for t >= 0: Abramowitz and Stegun 26.7.3 (odd) and 26.7.4 (even degrees of freedom)."""
    angle = math.atan(t / math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = degrees % 2 == 1
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for k in range(1 if odd else 0, degrees - 1, 2):
        total += term
        term *= cosine**2 * (k + 1) / (k + 2)
    central = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return 0.5 + central / 2
