"""How much of the mask AP fewer prototypes, or components of them, keep without retraining."""

from __future__ import annotations

import math

import pandas as pd

from analysis.results.experiment import Experiment, MissingResult, first

METHODS = {"keep": "most used prototypes", "project": "principal components"}
"""Interventions that assemble masks from m maps, in words."""
NEARLY_ALL = 0.99
"""The share of the full AP that counts as kept."""
METRIC = "mask_AP"


def compression(experiment: Experiment, table: pd.DataFrame) -> pd.DataFrame:
    """One row per method and number of maps m, in ascending order.

    Args:
        table: of `tables.summary`.

    Returns:
        Columns method (of METHODS), m, variant, mean, sd (mask AP in percent, over n seeds), n, change (against all prototypes,
        in points), low, high (its 95 % interval), kept (share of the same seeds' full mask AP, 0..1).

    Raises:
        MissingResult: no such variant, or not the one with all prototypes, has a mask AP.
    """
    full_accuracy(experiment, table)
    rows = []
    for variant in experiment.variants:
        method, m = _method(variant.changes)
        own = table[(table["variant"] == variant.name) & (table["metric"] == METRIC) & table["mean"].notna()]
        if method and len(own):
            row = own.iloc[0]
            rows.append({"method": method, "m": m, "variant": variant.name, **row[["mean", "sd", "n", "change", "low", "high"]],
                         "kept": _ratio(row["mean"], row["mean"] - row["change"])})  # fmt: skip
    if not rows:
        raise MissingResult("no network was evaluated with fewer prototypes")
    return pd.DataFrame(rows).sort_values(["method", "m"], ignore_index=True)


def full_accuracy(experiment: Experiment, table: pd.DataFrame) -> pd.Series:
    """The row of `table` that holds the mask AP with all prototypes, that of the reference variant.

    Raises:
        MissingResult: it has none.
    """
    own = table[(table["variant"] == experiment.reference) & (table["metric"] == METRIC) & table["mean"].notna()]
    if own.empty:
        raise MissingResult(f"{experiment.variant(experiment.reference).label} has no mask AP")
    return own.iloc[0]


def needed(experiment: Experiment, numbers: pd.DataFrame, share: float = NEARLY_ALL) -> pd.DataFrame:
    """How many maps keep a share of the mask AP: one row per method and seed.

    Args:
        numbers: of `tables.tidy`.

    Returns:
        Columns method, seed, m: the fewest of the numbers tried from which on every one keeps the share; k where none does.

    Raises:
        MissingResult: no seed has both the full mask AP and one with fewer maps.
    """
    k = prototypes_of(experiment)
    wide = numbers[numbers["metric"] == METRIC].pivot(index="seed", columns="variant", values="value")
    tried = sorted((m, method, v.name) for v in experiment.variants for method, m in [_method(v.changes)] if method)
    rows = []
    for method in METHODS:
        names = {m: name for m, own, name in tried if own == method and m < k and name in wide}
        for seed, values in wide.iterrows():
            if names and values[[experiment.reference, *names.values()]].notna().all():
                enough = [values[name] >= share * values[experiment.reference] for name in names.values()]
                lost = max((place for place, kept in enumerate(enough) if not kept), default=-1)
                rows.append({"method": method, "seed": seed, "m": [*names, k][lost + 1]})
    if not rows:
        raise MissingResult("no seed has both the full mask AP and all of those with fewer prototypes")
    return pd.DataFrame(rows)


def compression_answer(experiment: Experiment, numbers: pd.DataFrame) -> str:
    """One sentence: how many of k components and of k prototypes keep 99 % of the mask AP on every seed.

    Args:
        numbers: of `tables.tidy`.

    Raises:
        MissingResult: `needed` has nothing to say.
    """
    found, k = needed(experiment, numbers), prototypes_of(experiment)
    parts = [f"{_most(own['m'], k)} of {k} {METHODS[str(method)]}" for method, own in found.groupby("method", sort=False)]
    own = (numbers["variant"] == experiment.reference) & (numbers["metric"] == METRIC) & numbers["seed"].isin(found["seed"])
    full = numbers[own]["value"]
    several = f" on each of {len(full)} seeds" if len(full) > 1 else " (ONE SEED)"
    spread = f" ± {full.std():.1f}" if len(full) > 1 else ""
    return (
        f"On {experiment.data} at scale {experiment.scale}, {' and '.join(parts)} keep {100 * NEARLY_ALL:.0f} % of the mask AP "
        f"of {full.mean():.1f}{spread} %{several}, without retraining."
    )


def prototypes_of(experiment: Experiment) -> int:
    """k of the reference variant's network.

    Raises:
        MissingResult: it wasn't trained, or has no prototypes.
    """
    return first(experiment, experiment.reference, _prototypes, "the prototypes of the reference are not known")[1]


def _prototypes(experiment: Experiment, variant: str, seed: int) -> int:
    branch = experiment.read(variant, seed, "train", "model.json")["model"]["mask_branch"]
    if "k" not in branch:
        raise MissingResult("the network has no prototypes")
    return int(branch["k"])


def _method(changes) -> tuple[str | None, int]:
    """(method, m) of a variant that assembles masks from m maps, else (None, 0)."""
    method = changes.get("inference.intervention.kind")
    return (method, int(changes["inference.intervention.m"])) if method in METHODS else (None, 0)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan


def _most(counts: pd.Series, k: int) -> str:
    """The count that is enough on every seed, with the range over seeds where it differs."""
    most = "all" if counts.max() == k else str(counts.max())
    return most if counts.nunique() == 1 else f"{most} ({counts.min()} to {counts.max()} by seed)"
