"""The answer to an experiment's question in one sentence, made from the numbers and no surer than they are."""

from __future__ import annotations

import math

import pandas as pd

from analysis.results.experiment import Experiment
from analysis.tables.layout import signed
from experiments.store.metrics import Metric


def answer(experiment: Experiment, table: pd.DataFrame) -> str:
    """Which variants are clearly worse or better than the reference, which not clearly so, and what is unknown.

    Args:
        table: of `tables.summary`.
    """
    metric = experiment.metrics[experiment.headline[0]]
    rows = table[table["metric"] == metric.name]
    where = f"on {experiment.data} at scale {experiment.scale}"
    reference = rows[rows["variant"] == experiment.reference]
    label = experiment.variant(experiment.reference).label
    if reference.empty or math.isnan(reference.iloc[0]["mean"]):
        return f"No answer yet: the reference, {label}, has no {metric.label} {where}."
    groups = _groups(rows[rows["variant"] != experiment.reference], metric)
    parts = [_clause(verdict, members) for verdict, members in groups.items() if members]
    own = f"against {label} ({metric.label} {_value(reference.iloc[0], metric)})"
    if not parts:
        return (
            f"{_capital(where)}, {label} reaches a {metric.label} of {_value(reference.iloc[0], metric)}; nothing else was run."
        )
    return f"{_capital(where)}, {own}: {'; '.join(parts)}."


def _groups(rows: pd.DataFrame, metric: Metric) -> dict[str, list[str]]:
    less, more = {"higher": ("worse", "better"), "lower": ("better", "worse"), None: ("lower", "higher")}[metric.better]
    names = (f"clearly {word}" for word in sorted((less, more), reverse=True))
    groups: dict[str, list[str]] = {name: [] for name in (*names, "not clearly different", "undecided on one seed", "unknown")}
    for row in rows.itertuples():
        if math.isnan(row.change):
            groups["unknown"].append(row.label)
            continue
        low, high, change = (signed(number, metric.decimals) for number in (row.low, row.high, row.change))
        ends = "" if math.isnan(row.low) else f", 95 % interval {low} to {high}"
        said = f"{row.label} ({' '.join(filter(None, (change, metric.change_unit)))}{ends})"
        if row.clearly:
            groups[f"clearly {more if row.change > 0 else less}"].append(said)
        elif row.method in ("none", "images of one seed"):
            groups["undecided on one seed"].append(said)
        else:
            groups["not clearly different"].append(said)
    return groups


def _value(row: pd.Series, metric: Metric) -> str:
    unit = f" {metric.unit}" if metric.unit else ""
    mean = f"{row['mean']:.{metric.decimals}f}"
    return f"{mean}{unit}, ONE SEED" if row["n"] == 1 else f"{mean} ± {row['sd']:.{metric.decimals}f}{unit}, n = {row['n']}"


def _clause(verdict: str, members: list[str]) -> str:
    listed = members[0] if len(members) == 1 else f"{', '.join(members[:-1])} and {members[-1]}"
    return f"{listed} {'is' if len(members) == 1 else 'are'} {verdict}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
