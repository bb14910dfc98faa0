"""The answer to an experiment's question in one sentence, made from the numbers and no surer than they are."""

from __future__ import annotations

import math

import pandas as pd

from analysis.results.experiment import Experiment
from analysis.tables.layout import signed
from analysis.tables.metrics import METRICS


def answer(experiment: Experiment, table: pd.DataFrame) -> str:
    """Which variants are clearly worse or better than the reference, which not clearly so, and what is unknown.

    Args:
        table: of `tables.summary`.
    """
    metric = METRICS[experiment.headline[0]]
    rows = table[table["metric"] == metric.name]
    where = f"on {experiment.data} at scale {experiment.scale}"
    reference = rows[rows["variant"] == experiment.reference]
    label = experiment.variant(experiment.reference).label
    if reference.empty or math.isnan(reference.iloc[0]["mean"]):
        return f"No answer yet: the reference, {label}, has no {metric.label} {where}."
    groups = _groups(rows[rows["variant"] != experiment.reference])
    parts = [_clause(verdict, members) for verdict, members in groups.items() if members]
    own = f"against {label} ({metric.label} {_value(reference.iloc[0])})"
    if not parts:
        return f"{_capital(where)}, {label} reaches a {metric.label} of {_value(reference.iloc[0])}; nothing else was run."
    return f"{_capital(where)}, {own}: {'; '.join(parts)}."


def _groups(rows: pd.DataFrame) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {
        name: [] for name in ("clearly worse", "clearly better", "not clearly different", "undecided on one seed", "unknown")
    }
    for row in rows.itertuples():
        if math.isnan(row.change):
            groups["unknown"].append(row.label)
            continue
        ends = "" if math.isnan(row.low) else f", 95 % interval {signed(row.low)} to {signed(row.high)}"
        said = f"{row.label} ({signed(row.change)} points{ends})"
        if row.clearly:
            groups["clearly better" if row.change > 0 else "clearly worse"].append(said)
        elif row.method in ("none", "images of one seed"):
            groups["undecided on one seed"].append(said)
        else:
            groups["not clearly different"].append(said)
    return groups


def _value(row: pd.Series) -> str:
    return f"{row['mean']:.1f} %, ONE SEED" if row["n"] == 1 else f"{row['mean']:.1f} ± {row['sd']:.1f} %, n = {row['n']}"


def _clause(verdict: str, members: list[str]) -> str:
    listed = members[0] if len(members) == 1 else f"{', '.join(members[:-1])} and {members[-1]}"
    return f"{listed} {'is' if len(members) == 1 else 'are'} {verdict}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
