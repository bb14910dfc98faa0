"""Whether the prototypes of each network know where they are, and what padding has to do with it, from the `probes` stages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.results.experiment import Experiment, MissingResult, every, first
from analysis.statistics.intervals import over_seeds
from analysis.statistics.summary import summary_over
from yolact.measures.declaration import Scalar
from yolact.measures.probes import MEASURE

MEASURES = {"_".join(scalar.path): scalar for scalar in MEASURE.scalars}
"""Declared scalars by their place in `summary.json`."""


@dataclass(frozen=True)
class Probed:
    """What one stage measured."""

    variant: str
    seed: int
    summary: dict[str, Any]
    """`summary.json`."""
    arrays: Mapping[str, NDArray[Any]]
    """`probes.npz`."""


def read_probes(experiment: Experiment) -> list[Probed]:
    """Every network with prototypes that was probed, in the order of the variants.

    Raises:
        MissingResult: there is none.
    """
    return [one for *_, one in every(experiment, _read, "no network's prototypes were probed")]


def first_probed(experiment: Experiment, variant: str) -> Probed:
    """The first seed of a variant that was probed.

    Raises:
        MissingResult: none was.
    """
    return first(experiment, variant, _read, f"the prototypes of {experiment.variant(variant).label} were not probed")[1]


def probes(experiment: Experiment) -> pd.DataFrame:
    """One row per variant and seed.

    Returns:
        Columns variant, label, seed, prototypes, live (those that vary at all), and each of MEASURES in its unit, NaN where
        undefined.

    Raises:
        MissingResult: nothing was probed.
    """
    return pd.DataFrame(
        {
            "variant": one.variant,
            "label": experiment.variant(one.variant).label,
            "seed": one.seed,
            "prototypes": one.summary["prototypes"],
            "live": one.summary["live"],
            **{name: _number(one.summary, measure) for name, measure in MEASURES.items()},
        }
        for one in read_probes(experiment)
    )


def probes_summary(experiment: Experiment) -> pd.DataFrame:
    """One row per variant and measure.

    Returns:
        Columns variant, label, measure (of MEASURES), words, unit, mean, sd (sample standard deviation over seeds, NaN for
        one), n (seeds), and the paired difference from the reference variant over common seeds: change, low, high (95 % t
        interval), clearly (bool); NaN for the reference and for a single seed.

    Raises:
        MissingResult: nothing was probed.
    """
    frame = probes(experiment)
    found = summary_over(frame, ["variant", "label"], MEASURES).rename(columns={"name": "measure"})
    found = found[found["n"] > 0]
    wide = {name: frame.pivot(index="seed", columns="variant", values=name) for name in MEASURES}
    changes = [_change(wide[row.measure], row.variant, experiment.reference) for row in found.itertuples()]
    return found.assign(
        words=[MEASURES[name].label for name in found["measure"]],
        unit=[MEASURES[name].unit for name in found["measure"]],
        **{key: [change[key] for change in changes] for key in ("change", "low", "high", "clearly")},
    ).reset_index(drop=True)


def border_profiles(experiment: Experiment) -> pd.DataFrame:
    """How far from the border a picture of one colour still looks uneven to the prototypes.

    Returns:
        Columns variant, seed, distance (from the nearest border, pixels of the input), deviation (mean |activation - that in
        the middle| over prototypes and colours, % of the map's root mean square).

    Raises:
        MissingResult: nothing was probed.
    """
    parts = []
    for one in read_probes(experiment):
        profile = one.arrays["border_profile"].reshape(-1, one.arrays["border_profile"].shape[-1])
        defined = profile[np.isfinite(profile[:, 0])]
        if len(defined):
            columns = {"distance": one.arrays["border_distance"], "deviation": 100 * defined.mean(axis=0)}
            parts.append(pd.DataFrame({"variant": one.variant, "seed": one.seed, **columns}))
    if not parts:
        raise MissingResult("no prototype answers to a picture of one colour")
    return pd.concat(parts, ignore_index=True)


def padding_claim(experiment: Experiment, table: pd.DataFrame) -> str:
    """One sentence: what the numbers say about "padding is how an FCN knows where it is".

    Args:
        table: of `tables.summary`, for the change of the mask AP.

    Raises:
        MissingResult: the reference or every other variant was not probed.
    """
    frame = probes_summary(experiment)
    rows = frame[frame["measure"] == "position"].set_index("variant")
    others = [name for name in rows.index if name != experiment.reference]
    if experiment.reference not in rows.index or not others:
        raise MissingResult("the claim needs the reference and another padding probed")
    accuracy = table[table["metric"] == "mask_AP"].set_index("variant")
    base = rows.loc[experiment.reference]
    parts = [f"“{row.label}” {row.mean:.1f}{_sd(row.sd)} %{_points(accuracy, name)}"
             for name, row in ((name, _row(rows, name)) for name in others)]  # fmt: skip
    less = [name for name in others if rows.loc[name, "clearly"] and rows.loc[name, "change"] < 0]
    worse = [name for name in less if name in accuracy.index and accuracy.loc[name, "clearly"]
             and accuracy.loc[name, "change"] < 0]  # fmt: skip
    known = [name for name in less if name in accuracy.index and not math.isnan(accuracy.loc[name, "change"])]
    return (
        f"On {experiment.data}, place has a part in {base['mean']:.1f}{_sd(base['sd'])} % of the variance of the prototypes' "
        f"activations over an object with “{base['label']}” (n = {base['n']}), with {'; '.join(parts)}: "
        f"{_verdict(experiment, less, worse, known)}."
    )


def _verdict(experiment: Experiment, less: list[str], worse: list[str], known: list[str]) -> str:
    def names(variants: list[str]) -> str:
        return ", ".join(f"“{experiment.variant(name).label}”" for name in variants)

    if not less:
        return "no padding takes the sense of place clearly away, so these numbers do not show that it comes from padding"
    took = f"{names(less)} clearly took from the sense of place, so some of it comes from padding"
    if worse:
        return f"{took}, and mask AP fell clearly with {names(worse)}"
    return f"{took}, and mask AP did not fall clearly" if known else took


def _points(accuracy: pd.DataFrame, variant: str) -> str:
    if variant not in accuracy.index or math.isnan(accuracy.loc[variant, "change"]):
        return ""
    row = accuracy.loc[variant]
    interval = "" if math.isnan(row["low"]) else f" [{row['low']:+.1f}, {row['high']:+.1f}]"
    return f" (mask AP {row['change']:+.1f}{interval})"


def _row(rows: pd.DataFrame, name: str) -> Any:
    return next(rows.loc[[name]].itertuples())


def _sd(value: float) -> str:
    return "" if math.isnan(value) else f" ± {value:.1f}"


def _change(wide: pd.DataFrame, variant: str, reference: str) -> dict[str, Any]:
    paired = (
        (wide[variant] - wide[reference]).dropna() if variant != reference and reference in wide else pd.Series(dtype=float)
    )
    if paired.empty:
        return {"change": math.nan, "low": math.nan, "high": math.nan, "clearly": False}
    difference = over_seeds(paired.tolist())
    return {"change": difference.mean, "low": difference.low, "high": difference.high, "clearly": difference.clearly}


def _number(summary: dict[str, Any], measure: Scalar) -> float:
    value: Any = summary
    for key in measure.path:
        value = value[key]
    return math.nan if value is None else measure.scale * value


def _read(experiment: Experiment, variant: str, seed: int) -> Probed:
    summary = experiment.read(variant, seed, "probes", "summary.json")
    if not summary["prototypes"]:
        raise MissingResult(f"{experiment.variant(variant).label} has no prototypes")
    return Probed(variant, seed, summary, experiment.arrays(variant, seed, "probes", "probes.npz"))
