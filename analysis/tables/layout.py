"""The summary as a table to be read: which columns, and what stands in each cell."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from analysis.results.experiment import Experiment, Published
from experiments.store.metrics import Metric

CLEARLY = "*"
SINGLE = "ONE SEED"
HOLE = "missing"
PUBLISHED = "published"
_PAPER_COLUMN = 4


@dataclass(frozen=True)
class Table:
    """Cells as plain text; the writers escape them."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    variants: tuple[str, ...] = ()
    """The variant's name of each row; rows beyond these are published values."""
    left: frozenset[int] = frozenset()
    """Columns of words, which HTML sets to the left as it does the first."""


def headline_tables(experiment: Experiment, summary: pd.DataFrame, names: tuple[str, ...] = ()) -> list[Table]:
    """For each headline metric that was measured: ours ± spread, change with interval, the paper's value and change.

    Args:
        names: other metrics in the place of the experiment's headline.
    """
    metrics = [experiment.metrics[name] for name in names or experiment.headline if name in set(summary["metric"])]
    return [
        _headline_table(experiment, summary, metric, _notes(experiment, summary) if metric is metrics[-1] else [])
        for metric in metrics
    ]


def detail_tables(experiment: Experiment, summary: pd.DataFrame) -> list[Table]:
    """Per variant every other metric: ours ± spread. Accuracy and speed in one table, each measure's scalars in another."""
    groups: dict[str, list[Metric]] = {"metric": []}
    for name in dict.fromkeys(summary["metric"]):
        metric = experiment.metrics[name]
        if name not in experiment.headline:
            groups.setdefault("metric" if metric.kind in ("coco", "speed") else metric.kind, []).append(metric)
    return [_detail_table(experiment, summary, group, metrics) for group, metrics in groups.items() if metrics]


def _detail_table(experiment: Experiment, summary: pd.DataFrame, group: str, metrics: list[Metric]) -> Table:
    header = ("variant", *(metric.heading for metric in metrics))
    rows = tuple(
        (_name(experiment, variant.name), *(spread(_row(summary, variant.name, metric), metric) for metric in metrics))
        for variant in experiment.variants
    )
    title = f"Every other {group if group == 'metric' else 'scalar of ' + group}: {experiment.data}, scale {experiment.scale}"
    return Table(title, header, rows, (), tuple(variant.name for variant in experiment.variants))


def spread(row: pd.Series, metric: Metric) -> str:
    """`42.4 ± 2.6 (n = 3)`; a single seed is said loudly, a hole too."""
    if math.isnan(row["mean"]):
        return HOLE
    mean = f"{row['mean']:.{metric.decimals}f}"
    if row["n"] == 1:
        return f"{mean} ({SINGLE})"
    missing = f" of {row['planned']}" if row["n"] < row["planned"] else ""
    return f"{mean} ± {row['sd']:.{metric.decimals}f} (n = {row['n']}{missing})"


def signed(number: float, decimals: int = 1) -> str:
    """A change with its sign and a true minus; a dash for NaN."""
    if math.isnan(number):
        return "–"
    text = f"{number:+.{decimals}f}".replace("-", "−")
    return text if text.strip("+−0.") else text.replace("+", "±").replace("−", "±")


def interval(row: pd.Series, decimals: int = 1) -> str:
    """`−11.5 [−12.1, −10.9] *`, where the star says clearly."""
    if math.isnan(row["change"]):
        return "–"
    if math.isnan(row["low"]):
        return f"{signed(row['change'], decimals)} [no interval]"
    ends = f"[{signed(row['low'], decimals)}, {signed(row['high'], decimals)}]"
    return f"{signed(row['change'], decimals)} {ends}{' ' + CLEARLY if row['clearly'] else ''}"


def over(row: pd.Series) -> str:
    """What an interval's randomness is."""
    if math.isnan(row["change"]):
        return "–"
    return {
        "seeds": "seeds",
        "images": "images",
        "images of one seed": f"images, {SINGLE}",
        "none": SINGLE if row["n"] == 1 else "–",
    }[row["method"]]


def _headline_table(experiment: Experiment, summary: pd.DataFrame, metric: Metric, notes: list[str]) -> Table:
    header: tuple[str, ...] = (
        "variant",
        f"ours ({metric.unit})" if metric.unit else "ours",
        "change [95 % interval]",
        "interval over",
        "paper",
        "paper's change",
    )
    rows = []
    for variant in experiment.variants:
        row = _row(summary, variant.name, metric)
        paper = "–" if math.isnan(row["paper"]) else f"{row['paper']:.{metric.decimals}f}"
        cells = [_name(experiment, variant.name), spread(row, metric), interval(row, metric.decimals), over(row), paper,
                 signed(row["paper_change"], metric.decimals)]  # fmt: skip
        if experiment.at_paper_scale:
            cells.append(signed(row["minus_paper"], metric.decimals))
        rows.append(tuple(cells))
    rows += [_published_row(row, metric, len(rows[0])) for row in experiment.published if metric.name in row.values]
    title = f"{_capital(metric.label)}: {experiment.title}; {experiment.data}, scale {experiment.scale}"
    names = tuple(variant.name for variant in experiment.variants)
    header = (*header, "ours − paper") if experiment.at_paper_scale else header
    return Table(title, header, tuple(rows), tuple(notes), names)


def _published_row(row: Published, metric: Metric, columns: int) -> tuple[str, ...]:
    """A method that was not run here: its published value stands in the paper's column, ours stays empty."""
    cells = [f"{row.label} ({PUBLISHED})", "not run", *["–"] * (columns - 2)]
    cells[_PAPER_COLUMN] = f"{row.values[metric.name]:.{metric.decimals}f}"
    return tuple(cells)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _row(summary: pd.DataFrame, variant: str, metric: Metric) -> pd.Series:
    return summary[(summary["variant"] == variant) & (summary["metric"] == metric.name)].iloc[0]


def _name(experiment: Experiment, variant: str) -> str:
    label = experiment.variant(variant).label
    return f"{label} (reference)" if variant == experiment.reference else label


def _notes(experiment: Experiment, summary: pd.DataFrame) -> list[str]:
    reference = experiment.variant(experiment.reference).label
    notes = [
        f"± is the sample standard deviation over n seeds. Changes are paired differences against {reference}, with their "
        f"95 % interval: over seeds (t interval) where networks were retrained, over images (paired bootstrap, 1000 "
        f"resamples) where one training is shared. {CLEARLY} clearly: the interval excludes 0."
    ]
    if (summary["n"] == 1).any():
        notes.append(
            f"{SINGLE}: measured on a single seed, so there is no spread; an interval over its images doesn't contain the "
            "variance between trainings, and nothing about a retrained variant is called clear."
        )
    if experiment.stand_ins:
        names = ", ".join(f"{paper} → {ours}" for paper, ours in experiment.stand_ins.items())
        notes.append(f"Stand-ins at scale {experiment.scale} (paper → here): {names}.")
    if any(variant.paper for variant in experiment.variants):
        source = f"Paper's values as published{': ' + experiment.paper_source if experiment.paper_source else ''}"
        note = f" ({experiment.paper_note.rstrip('.')})" if experiment.paper_note else ""
        caveat = "" if experiment.at_paper_scale else "; other data and size than here, so compare the changes alone"
        notes.append(f"{source}{note}{caveat}.")
    sources = dict.fromkeys(row.source for row in experiment.published)
    if sources:
        notes.append(f"Rows marked as {PUBLISHED} were not run here; values as printed in {'; '.join(filter(None, sources))}.")
    return notes + _hole_notes(experiment, summary)


def _hole_notes(experiment: Experiment, summary: pd.DataFrame) -> list[str]:
    """Each reason for a hole once, with its metrics where it doesn't concern all of a variant."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in summary[summary["holes"] != ""].itertuples():
        found.setdefault((row.label, row.holes), []).append(experiment.metrics[row.metric].label)
    every = summary["metric"].nunique()
    return [
        f"Missing, {label}{'' if len(metrics) == every else ' (' + ', '.join(metrics) + ')'}: {reason}."
        for (label, reason), metrics in found.items()
    ]
