"""How much the prototypes of each network repeat each other and how much each is used, from the `redundancy` stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.results.experiment import Experiment, MissingResult, every, first
from analysis.statistics.summary import summary_over

EXPLAINED = (0.9, 0.99)
"""Shares of the variance for which tables count the components."""
NUMBERS = {
    "k": "prototypes",
    "effective_rank": "directions they span (effective rank)",
    "components_90": "components for 90 % of the variance",
    "components_99": "components for 99 % of the variance",
    "repeated": "near-copies of another prototype",
    "constant": "prototypes that don't vary",
}
"""Columns of `redundancy` that `redundancy_summary` averages, in words."""


@dataclass(frozen=True)
class Redundancy:
    """What one stage measured."""

    variant: str
    seed: int
    summary: dict[str, Any]
    """`summary.json`."""
    arrays: Mapping[str, NDArray[Any]]
    """`redundancy.npz`."""

    @property
    def k(self) -> int:
        return self.summary["prototypes"]


def read_redundancy(experiment: Experiment) -> list[Redundancy]:
    """Every network with prototypes that was measured, the reference variant first.

    Raises:
        MissingResult: there is none.
    """
    return [one for *_, one in every(experiment, _read, "no network's prototypes were measured for redundancy")]


def first_redundancy(experiment: Experiment, variant: str) -> Redundancy:
    """The measurement of a variant's first seed that has one.

    Raises:
        MissingResult: none has.
    """
    otherwise = f"the prototypes of {experiment.variant(variant).label} were not measured for redundancy"
    return first(experiment, variant, _read, otherwise)[1]


def redundancy(experiment: Experiment) -> pd.DataFrame:
    """One row per variant and seed.

    Returns:
        Columns variant, label, seed, k (prototypes), effective_rank (1..k), components_90 and components_99 (how many principal
        components carry that percentage of the variance), repeated (prototypes beyond the first of each group of
        near-duplicates), constant (prototypes that don't vary), detections (that use was measured on).

    Raises:
        MissingResult: nothing was measured.
    """
    return pd.DataFrame(
        {
            "variant": one.variant,
            "label": experiment.variant(one.variant).label,
            "seed": one.seed,
            "k": one.k,
            "effective_rank": one.summary["effective_rank"],
            **{f"components_{100 * share:.0f}": components_for(one.arrays["explained"], share) for share in EXPLAINED},
            "repeated": sum(len(group) - 1 for group in one.summary["duplicates"]),
            "constant": len(one.summary["constant"]),
            "detections": one.summary["detections"],
        }
        for one in read_redundancy(experiment)
    )


def redundancy_summary(experiment: Experiment) -> pd.DataFrame:
    """One row per variant and number of `redundancy` over its seeds: `summary_over`. Raises as `redundancy` does."""
    return summary_over(redundancy(experiment), ["variant", "label"], NUMBERS)


def spectra(experiment: Experiment) -> pd.DataFrame:
    """One row per variant, seed and principal component.

    Returns:
        Columns variant, seed, component (from 1), share (of the variance, 0..1), explained (by this one and all before, 0..1).

    Raises:
        MissingResult: nothing was measured.
    """
    parts = []
    for one in read_redundancy(experiment):
        values = one.arrays["explained"]
        columns = {"component": np.arange(1, one.k + 1), "share": np.diff(values, prepend=0), "explained": values}
        parts.append(pd.DataFrame({"variant": one.variant, "seed": one.seed, **columns}))
    return pd.concat(parts, ignore_index=True)


def use(experiment: Experiment, variant: str | None = None) -> pd.DataFrame:
    """One row per seed and prototype of a variant, the most used first within its seed.

    Returns:
        Columns seed, prototype, use (mean over detections of |coefficient| x root mean square of the activation over the image,
        in logits), share (of the use of all), positive_share (of the detections that add it, 0..1), mean and deviation (of its
        activation). NaN without detections.

    Raises:
        MissingResult: nothing was measured.
    """
    name = variant or experiment.reference
    parts = []
    for one in (one for one in read_redundancy(experiment) if one.variant == name):
        arrays = one.arrays
        frame = pd.DataFrame(
            {"seed": one.seed, "prototype": range(one.k), "use": arrays["use"], "share": arrays["use"] / arrays["use"].sum(),
             "positive_share": arrays["positive_share"], "mean": arrays["mean"],
             "deviation": np.sqrt(np.diag(arrays["covariance"]).clip(min=0))}
        )  # fmt: skip
        parts.append(frame.sort_values("use", ascending=False, kind="stable"))
    if not parts:
        raise MissingResult(f"the prototypes of {experiment.variant(name).label} were not measured for redundancy")
    return pd.concat(parts, ignore_index=True)


def components_for(explained: NDArray[np.float64], share: float) -> int:
    """How many components carry at least this share of the variance; `explained` is what the first 1, 2, ... k carry."""
    return int(np.argmax(explained >= share - 1e-12)) + 1


def similarity_order(correlations: NDArray[np.float64]) -> list[int]:
    """An order that puts alike prototypes side by side: a chain from the strongest |r|, grown at the end that has the stronger
    link to what is left."""
    strength = np.abs(correlations) - 2 * np.eye(len(correlations))
    if len(strength) == 1:
        return [0]
    chain = [int(one) for one in np.unravel_index(strength.argmax(), strength.shape)]
    left = set(range(len(strength))) - set(chain)
    while left:
        links = [(strength[end, one], -one, end == chain[-1]) for end in (chain[0], chain[-1]) for one in left]
        _, negative, at_end = max(links)
        chain = [*chain, -negative] if at_end else [-negative, *chain]
        left.remove(-negative)
    return chain


def _read(experiment: Experiment, variant: str, seed: int) -> Redundancy:
    summary = experiment.read(variant, seed, "redundancy", "summary.json")
    if not summary["prototypes"]:
        raise MissingResult(f"{experiment.variant(variant).label} has no prototypes")
    return Redundancy(variant, seed, summary, experiment.arrays(variant, seed, "redundancy", "redundancy.npz"))
