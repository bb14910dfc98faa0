"""Accuracy against latency, and which variants no other one beats in both."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.accuracy import measured, unique_legend, words
from analysis.figures.picture import Picture
from analysis.figures.style import GROUND, INK, colours, house_style, legend, marker, new_figure, seeds
from analysis.results.experiment import Experiment, MissingResult
from analysis.tables.pareto import dominator, front
from experiments.store.metrics import Metric


@house_style
def accuracy_against_latency(experiment: Experiment, table: pd.DataFrame, hardware: str) -> Picture:
    """The headline accuracy against latency, both with their spread over seeds, and the Pareto front of their means.

    Args:
        hardware: what the latency was measured on.

    Raises:
        MissingResult: no variant has both.
    """
    metric = accuracy_metric(experiment)
    wide = {name: measured(table, name).set_index("variant") for name in (metric.name, "latency_ms")}
    names = [name for name in experiment.colour_order if all(name in frame.index for frame in wide.values())]
    if not names:
        raise MissingResult("no variant has both an accuracy and a latency")
    points = {name: (wide["latency_ms"].loc[name, "mean"], wide[metric.name].loc[name, "mean"]) for name in names}
    best = front(points)
    figure = new_figure(3.8)
    axes = figure.subplots()
    for name in names:
        ap, latency = wide[metric.name].loc[name], wide["latency_ms"].loc[name]
        axes.errorbar(latency["mean"], ap["mean"], xerr=_bar(latency), yerr=_bar(ap), fmt=marker(experiment, name),
                      color=colours(experiment)[name], markersize=8, capsize=3, elinewidth=1, label=ap["label"])  # fmt: skip
    if len(best) > 1:
        axes.plot(*zip(*(points[name] for name in best), strict=True), ":", color=INK, linewidth=1.2, zorder=0,
                  label="Pareto front")  # fmt: skip
    _draw_published(axes, experiment, metric.name)
    axes.set(xlabel="latency per image (ms), shorter is better", ylabel=metric.heading)
    axes.grid()
    legend(figure, *unique_legend(axes))
    data = pd.DataFrame(
        {"variant": name, metric.name: height, "latency_ms": time, "on_front": name in best,
         "beaten_by": dominator(points, name)}
        for name, (time, height) in points.items()
    )  # fmt: skip
    caption = (
        f"{words(metric)} against median latency per image, on {experiment.data}, scale {experiment.scale}; measured on "
        f"{hardware}. Means over seeds with their sample standard deviations ({seeds(wide[metric.name]['n'])}). "
        f"Up and left is better; no variant is both faster and more accurate, by these means, than one on the Pareto front: "
        f"{_listed(experiment, best)}."
        f"{_published_words(experiment)}"
    )
    places = [
        f"{row.variant}: {row[metric.name]:.{metric.decimals}f} {metric.unit} at {row.latency_ms:.1f} ms"
        f"{', on the front' if row.on_front else ''}."
        for _, row in data.iterrows()
    ]
    return Picture("accuracy_against_latency", figure, caption, " ".join(places), data)


def accuracy_metric(experiment: Experiment) -> Metric:
    """The first headline metric that is no time and of which more is better.

    Raises:
        MissingResult: there is none.
    """
    for name in experiment.headline:
        metric = experiment.metrics[name]
        if metric.kind != "speed" and metric.better == "higher":
            return metric
    raise MissingResult("no headline metric is an accuracy, of which more is better")


def _draw_published(axes: Axes, experiment: Experiment, metric: str) -> None:
    """Other methods' published values, at the paper's scale alone: elsewhere the data and the device are not theirs."""
    rows = (
        [row for row in experiment.published if {metric, "latency_ms"} <= set(row.values)] if experiment.at_paper_scale else []
    )
    for row in rows:
        place = (row.values["latency_ms"], row.values[metric])
        axes.plot(*place, "*", color=INK, markerfacecolor=GROUND, markersize=9, label="published, not run here")
        axes.annotate(row.label, place, xytext=(5, 3), textcoords="offset points", fontsize=8)


def _published_words(experiment: Experiment) -> str:
    return " Stars are published values on other hardware." if experiment.published and experiment.at_paper_scale else ""


def _listed(experiment: Experiment, names: tuple[str, ...]) -> str:
    return "; ".join(experiment.variant(name).label for name in names)


def _bar(row: pd.Series) -> float | None:
    return None if math.isnan(row["sd"]) else row["sd"]
