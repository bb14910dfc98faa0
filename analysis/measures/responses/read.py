"""What the prototypes of each variant respond to: tables, and one sentence on whether anything was learned."""

from __future__ import annotations

import pandas as pd

from analysis.measures.responses.kinds import KINDS, STRENGTHS, Bounds, bounds, kinds, strengths
from analysis.results.contents import read_table
from analysis.results.experiment import Experiment, every

LUCK = 3
"""A variant counts as having learned where more prototypes than this many times the share by luck go beyond random weights. The
prototypes of one network share all layers but the last, so that luck comes in lumps."""


def measured(experiment: Experiment, variant: str, seed: int) -> pd.DataFrame:
    """The whole `prototypes.csv` of one network.

    Raises:
        MissingResult: it isn't there.
    """
    return read_table(experiment.path(variant, seed, "responses", "prototypes.csv"))


def prototype_kinds(experiment: Experiment, variant: str) -> tuple[pd.DataFrame, dict[int, Bounds]]:
    """One row per seed and prototype of a variant, and {seed: what they were held against}.

    Columns: seed, those of `kinds.kinds`, and `place` and `objects`, the signed correlations with place and objects.

    Raises:
        MissingResult: no seed has them.
    """
    parts, held = [], {}
    for _, seed, table in every(experiment, measured, f"responses of {experiment.variant(variant).label}", [variant]):
        held[seed] = bounds(table)
        own = table[table["source"] == "network"].reset_index(drop=True)
        found = kinds(strengths(own), held[seed])
        parts.append(found.assign(seed=seed, place=own["place"], objects=own["objects"]))
    return pd.concat(parts, ignore_index=True), held


def measured_variants(experiment: Experiment) -> list[str]:
    """The variants that have results, the reference first.

    Raises:
        MissingResult: there is none.
    """
    return list(dict.fromkeys(variant for variant, *_ in every(experiment, measured, "no responses were measured")))


def kinds_table(experiment: Experiment) -> pd.DataFrame:
    """One row per variant and kind: how many prototypes of a network are of it.

    Columns: variant, label, kind, mean and sd over seeds (NaN for one), n (seeds), prototypes (of a network);
    has, has_sd: how many have the kind, also where another is stronger (NaN for constant and none);
    beyond, beyond_sd: how many of those do so more than any prototype of the networks with random weights;
    random: how many are of the kind in a network with random weights, on average.
    Variants without results are left out.

    Raises:
        MissingResult: no variant has any.
    """
    rows, names = [], measured_variants(experiment)
    for variant in (variant for variant in experiment.variants if variant.name in names):
        found, held = prototype_kinds(experiment, variant.name)
        random = pd.concat([_random_kinds(experiment, variant.name, seed) for seed in held])
        each = {"variant": variant.name, "label": variant.label, "n": len(held), "prototypes": len(found) / len(held)}
        rows += [
            {**each, "kind": kind, **_counts(found, held, kind), "random": (random == kind).mean() * each["prototypes"]}
            for kind in KINDS
        ]
    columns = ["variant", "label", "kind", "mean", "sd", "n", "prototypes", "has", "has_sd", "beyond", "beyond_sd", "random"]
    return pd.DataFrame(rows)[columns]


def _counts(found: pd.DataFrame, held: dict[int, Bounds], kind: str) -> dict[str, float]:
    """Mean and sample standard deviation over seeds of how many are of a kind, have it, and have it beyond random weights."""
    counts: dict[str, list[float]] = {"mean": [], "has": [], "beyond": []}
    for seed, own in found.groupby("seed"):
        bound = held[int(str(seed))]
        counts["mean"].append(float((own["kind"] == kind).sum()))
        strength = own[kind] if kind in STRENGTHS else pd.Series([float("nan")])
        has = strength >= bound.seen
        known = kind in STRENGTHS
        counts["has"].append(float(has.sum()) if known else float("nan"))
        counts["beyond"].append(float((has & (strength > bound.random.get(kind, 0.0))).sum()) if known else float("nan"))
    means = {name: pd.Series(values).mean() for name, values in counts.items()}
    return {**means, **{{"mean": "sd"}.get(name, f"{name}_sd"): pd.Series(values).std() for name, values in counts.items()}}


def _random_kinds(experiment: Experiment, variant: str, seed: int) -> pd.Series:
    """The kinds of the prototypes of the networks with random weights, by the same rule."""
    table = measured(experiment, variant, seed)
    held = bounds(table)
    sources = table[table["source"].str.startswith("random")].groupby("source")
    return pd.concat([kinds(strengths(rows), held)["kind"] for _, rows in sources])


def what_was_learned(experiment: Experiment, variant: str) -> str:
    """One sentence that says how many prototypes do something that random weights don't, or that nothing was learned.

    Raises:
        MissingResult: no seed has results.
    """
    found, held = prototype_kinds(experiment, variant)
    label = experiment.variant(variant).label
    per_seed = found.groupby("seed")["beyond"].sum()
    share = float(found["beyond"].mean())
    luck = max(bound.by_luck for bound in held.values())
    drawn = next(iter(held.values())).drawn
    count = f"{_spread(per_seed)} of {found.groupby('seed').size().mean():.0f} prototypes"
    against = f"any of {drawn} prototypes of networks with random weights (by luck up to {100 * luck:.0f} %)"
    if share <= LUCK * luck:
        shown = found["kind"].value_counts()
        most = " and ".join(f"{kind} ({shown[kind] / len(per_seed):.0f})" for kind in shown.index[:2])
        return (
            f"{label}: nothing was learned. {count} respond to anything more than {against}; what they show, on average "
            f"{most}, comes from the architecture, its padding and the images."
        )
    table = kinds_table(experiment)
    own = table[(table["variant"] == variant) & (table["beyond"] > 0)].sort_values("beyond", ascending=False)
    does = ", ".join(f"{row.kind} {_number(row.beyond, row.beyond_sd)}" for row in own.itertuples())
    return f"{label}: {count} respond to something more than {against}: {does}."


def _spread(values: pd.Series) -> str:
    return _number(float(values.mean()), float(values.std())) + (f" (n = {len(values)} seeds)" if len(values) > 1 else
                                                                 " (ONE seed)")  # fmt: skip


def _number(mean: float, sd: float) -> str:
    return f"{mean:.3g}" if sd != sd else f"{mean:.1f} ± {sd:.1f}"
