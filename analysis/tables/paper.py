"""A table of the paper, as wide as it is printed: under each of our rows what the paper prints."""

from __future__ import annotations

import math

import pandas as pd

from analysis.results.experiment import Experiment, Variant
from analysis.tables.layout import PUBLISHED, SINGLE, Table
from experiments.store.metrics import Metric

IN_THE_PAPER = "in the paper"
"""Label of the rows with printed values."""


def paper_table(experiment: Experiment, summary: pd.DataFrame, notes: tuple[str, ...]) -> Table:
    """Every metric that the paper prints for one of the variants, else those of the headline.

    Args:
        summary: of `tables.summary`.
        notes: what stands below, such as those of `layout.headline_tables`.

    Returns:
        A row per variant, ours with the sample standard deviation over seeds; below it, where the paper prints it, a row with
        the paper's values; at the end the methods that were not run here.
    """
    metrics = _metrics(experiment)
    header = ("", "seeds", *(metric.heading for metric in metrics))
    rows, names = [], []
    for variant in experiment.variants:
        rows.append((variant.label, _seeds(summary, variant), *(_ours(summary, variant, metric) for metric in metrics)))
        names.append(variant.name)
        if variant.paper:
            rows.append((IN_THE_PAPER, "–", *_printed(dict(variant.paper), metrics)))
            names.append("")
    for method in experiment.published:
        rows.append((f"{method.label} ({PUBLISHED})", "not run", *_printed(dict(method.values), metrics)))
        names.append("")
    return Table(f"{experiment.title}; {experiment.data}, scale {experiment.scale}", header, tuple(rows), notes, tuple(names))


def _metrics(experiment: Experiment) -> list[Metric]:
    rows = [*(variant.paper for variant in experiment.variants), *(method.values for method in experiment.published)]
    printed = {name for row in rows for name in row}
    return [metric for name, metric in experiment.metrics.items() if name in (printed or experiment.headline)]


def _seeds(summary: pd.DataFrame, variant: Variant) -> str:
    count = summary[summary["variant"] == variant.name]["n"].max()
    return {0: "none", 1: SINGLE}.get(count, str(count))


def _ours(summary: pd.DataFrame, variant: Variant, metric: Metric) -> str:
    found = summary[(summary["variant"] == variant.name) & (summary["metric"] == metric.name)]
    if found.empty:
        return "–"
    row = found.iloc[0]
    if math.isnan(row["mean"]):
        return "missing"
    spread = "" if math.isnan(row["sd"]) else f" ± {row['sd']:.{metric.decimals}f}"
    return f"{row['mean']:.{metric.decimals}f}{spread}"


def _printed(values: dict[str, float], metrics: list[Metric]) -> list[str]:
    return [f"{values[metric.name]:.{metric.decimals}f}" if metric.name in values else "–" for metric in metrics]
