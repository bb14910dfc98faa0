"""Redundancy: which prototypes are alike, how many components they amount to, and which class uses which."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from analysis.figures.picture import Picture
from analysis.figures.style import INK, WIDTH, colours, dashes, house_style, legend, marker, new_figure, seeds
from analysis.measures.redundancy.read import (
    Redundancy,
    first_redundancy,
    read_redundancy,
    redundancy,
    similarity_order,
    spectra,
)
from analysis.results.experiment import Experiment, MissingResult

TICKED = 40
"""Prototypes up to which each has its number on the axis."""
CLASSES = 24
"""Classes drawn at most, those with most detections."""


@house_style
def correlations(experiment: Experiment) -> Picture:
    """The correlation between prototypes, alike ones side by side: for each variant its first seed.

    Raises:
        MissingResult: nothing was measured.
    """
    variants = dict.fromkeys(one.variant for one in read_redundancy(experiment))
    found = [first_redundancy(experiment, variant) for variant in variants]
    columns = min(2, len(found))
    rows = -(-len(found) // columns)
    figure = new_figure(0.8 + rows * 0.98 * WIDTH / columns if columns > 1 else 5.4)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel, one in zip(panels, found, strict=False):
        panel.set_title(f"{experiment.variant(one.variant).label}, seed {one.seed}")
        _draw_matrix(panel, one.arrays["correlation"])
    for panel in panels[len(found) :]:
        panel.set_axis_off()
    drawn = panels[: len(found)]
    bar = figure.colorbar(drawn[0].images[0], ax=drawn, location="bottom", shrink=0.5, aspect=35, ticks=[-1, -0.5, 0, 0.5, 1])
    bar.set_label("correlation of two prototypes over all pixels")
    bar.outline.set_edgecolor(INK)
    caption = (
        f"Correlation between prototypes over the pixels of {found[0].summary['images']} images of {experiment.data}, scale "
        f"{experiment.scale}, alike ones (by |r|) side by side; the order differs from panel to panel. A strongly negative "
        "pair repeats each other too, since coefficients may be negative."
    )
    alt = " ".join(_repeats(experiment, one) for one in found)
    return Picture("correlations", figure, caption, alt, pd.concat([_pairs(one) for one in found], ignore_index=True))


@house_style
def spectrum(experiment: Experiment) -> Picture:
    """Variance by principal component and in all, with the effective rank of every variant: mean and spread over seeds.

    Raises:
        MissingResult: nothing was measured.
    """
    frame, ranks = spectra(experiment), redundancy(experiment)
    figure = new_figure(3.9)
    left, right = figure.subplots(1, 2)
    for name in dict.fromkeys(frame["variant"]):
        own = frame[frame["variant"] == name].groupby("component")[["share", "explained"]].agg(["mean", "std", "size"])
        rank = ranks[ranks["variant"] == name]["effective_rank"]
        style = {"color": colours(experiment)[name], "marker": marker(experiment, name), "markersize": 4,
                 "linestyle": dashes(experiment, name), "capsize": 2, "elinewidth": 1}  # fmt: skip
        label = f"{experiment.variant(name).label}: effective rank {_spread(rank)}"
        left.errorbar(own.index, 100 * own["share"]["mean"], yerr=100 * own["share"]["std"], **style)
        right.errorbar(own.index, 100 * own["explained"]["mean"], yerr=100 * own["explained"]["std"], label=label, **style)
        for axes in (left, right):
            axes.axvline(rank.mean(), color=style["color"], linestyle=style["linestyle"], linewidth=1.1)
            if len(rank) > 1:
                axes.axvspan(rank.mean() - rank.std(), rank.mean() + rank.std(), color=style["color"], alpha=0.15, linewidth=0)
    left.set(xlabel="principal component", ylabel="share of the variance (%)", yscale="log", title="each component")
    left.set_ylim(bottom=1e-4, top=150)
    right.set(xlabel="components, largest first", ylabel="variance explained (%)", ylim=(0, 102), title="together")
    for axes in (left, right):
        axes.grid()
        axes.set_xlim(left=0)
    legend(figure, *right.get_legend_handles_labels())
    caption = (
        f"Principal components of the prototypes' pixels on {experiment.data}, scale {experiment.scale}: share of the variance "
        "of each and of the first ones together. Vertical lines mark the effective rank, exp of the entropy of the shares (Roy "
        "and Vetterli 2007), bands its spread. Means over seeds with the sample standard deviation "
        f"({seeds(ranks.groupby('variant').size())})."
    )
    alt = " ".join(
        f"{label}: effective rank {_spread(own['effective_rank'])} of {own['k'].iloc[0]} prototypes."
        for label, own in ranks.groupby("label", sort=False)
    )
    return Picture("spectrum", figure, caption, alt, frame)


@house_style
def use_per_class(experiment: Experiment, variant: str | None = None) -> Picture:
    """How much the detections of each class use each prototype, the most used first: the first seed of a variant.

    Args:
        variant: None takes the reference.

    Raises:
        MissingResult: it was not measured, or nothing was detected.
    """
    name = variant or experiment.reference
    one = first_redundancy(experiment, name)
    counts = one.arrays["detections_per_class"]
    classes = [int(row) for row in np.argsort(-counts, kind="stable")[:CLASSES] if counts[row]]
    if not classes:
        raise MissingResult(f"{experiment.variant(name).label} detected nothing, so that no prototype was used")
    order = np.argsort(-one.arrays["use"], kind="stable")
    rows = np.vstack([one.arrays["use"], one.arrays["use_per_class"][classes]])
    shares = 100 * rows / rows.sum(axis=1, keepdims=True)
    names = ["all classes", *(f"{one.arrays['class_names'][row]} ({counts[row]})" for row in classes)]
    figure = new_figure(1.7 + 0.26 * len(names))
    axes = figure.subplots()
    scale = matplotlib.colors.PowerNorm(0.5, vmin=0, vmax=float(shares.max()))  # a few prototypes have most of it
    drawn = axes.imshow(shares[:, order], cmap="cividis", aspect="auto", interpolation="none", norm=scale)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="prototype, most used first")
    _tick_numbers(axes, [int(i) for i in order], axes.set_xticks)
    bar = figure.colorbar(drawn, ax=axes, label="share of the row's use (%)", pad=0.02)
    bar.outline.set_edgecolor(INK)
    caption = (
        f"Use of each prototype by the detections of each class (their number in brackets), {experiment.variant(name).label}, "
        f"seed {one.seed}, on {experiment.data}, scale {experiment.scale}. Use is the mean over detections with score ≥ "
        f"{one.summary['score_threshold']} of |coefficient| × root mean square of the activation over the image; each row is "
        f"shown in percent of its sum, on a square-root scale of colour. {len(classes)} of {len(counts)} classes."
    )
    top = [int(i) for i in order[:5]]
    alt = f"The five most used of {one.k} prototypes, {top}, make up {shares[0, order[:5]].sum():.0f} % of the use."
    data = pd.DataFrame(
        {"class": label, "prototype": int(i), "share_percent": shares[row, i], "use": rows[row, i],
         "positive_share": one.arrays["positive_share"][i] if row == 0 else np.nan}
        for row, label in enumerate(names)
        for i in order
    )  # fmt: skip
    return Picture("use_per_class", figure, caption, alt, data)


def _draw_matrix(axes: Axes, matrix: NDArray[np.float64]) -> None:
    order = similarity_order(matrix)
    axes.imshow(matrix[np.ix_(order, order)], cmap=matplotlib.colormaps["PuOr"], vmin=-1, vmax=1, interpolation="none")
    axes.set(xlabel="prototype")
    _tick_numbers(axes, order, axes.set_xticks, rotation=90)
    _tick_numbers(axes, order, axes.set_yticks)


def _tick_numbers(axes: Axes, order: list[int], set_ticks: Callable, rotation: float = 0) -> None:
    """The prototypes' numbers on an axis, or none where they wouldn't fit."""
    shown = order if len(order) <= TICKED else []
    set_ticks(range(len(shown)), [str(i) for i in shown], fontsize=6.5, rotation=rotation)
    axes.tick_params(length=0)


def _pairs(one: Redundancy) -> pd.DataFrame:
    """Every pair of prototypes once, with its correlation."""
    first, second = np.triu_indices(one.k, 1)
    values = one.arrays["correlation"][first, second]
    return pd.DataFrame({"variant": one.variant, "seed": one.seed, "first": first, "second": second, "correlation": values})


def _repeats(experiment: Experiment, one: Redundancy) -> str:
    groups = one.summary["duplicates"]
    said = "; ".join(", ".join(map(str, group)) for group in groups) if groups else "none"
    return (
        f"{experiment.variant(one.variant).label}, seed {one.seed}: groups of prototypes connected by |r| above "
        f"{one.summary['duplicate_correlation']}: {said}."
    )


def _spread(values: pd.Series) -> str:
    return f"{values.iloc[0]:.1f} (ONE SEED)" if len(values) == 1 else f"{values.mean():.1f} ± {values.std():.1f}"
