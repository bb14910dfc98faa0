"""Coefficients: how they are distributed, what is subtracted, and how much better the best ones would be."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.picture import Picture
from analysis.figures.style import GROUND, INK, OKABE_ITO, REFERENCE, colours, house_style, legend, marker, new_figure, seeds
from analysis.measures.coefficients.read import (
    IOUS,
    coefficient_distribution,
    measured_variants,
    oracle_ious,
    read_coefficients,
    sign_use,
)
from analysis.results.experiment import Experiment

_ADDED, _SUBTRACTED = OKABE_ITO[0], OKABE_ITO[1]
MOST_CLASSES = 20
"""Classes drawn at most, those with most detections."""
MOST_POINTS = 3000
"""Detections drawn at most in the scatter; the numbers count all."""


@house_style
def coefficient_distributions(experiment: Experiment, variant: str) -> Picture:
    """The quantiles of each prototype's coefficient, and what part of its use is subtraction; one training, most used first.

    Raises:
        MissingResult: the variant has no coefficients that found an object.
    """
    frame = coefficient_distribution(experiment, variant)
    seed = frame["seed"].iloc[0]
    own = frame[frame["seed"] == seed].sort_values("use", ascending=False, kind="stable", ignore_index=True)
    figure = new_figure(5.0)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1.5, 1])
    _draw_quantiles(top, own)
    bottom.bar(own.index, own["use"] * (1 - own["subtracted"].fillna(0)), color=_ADDED, width=0.8, label="added")
    bottom.bar(own.index, -own["use"] * own["subtracted"].fillna(0), color=_SUBTRACTED, width=0.8, hatch="///",
               edgecolor=GROUND, linewidth=0, label="subtracted")  # fmt: skip
    bottom.axhline(0, color=REFERENCE, linewidth=0.9)
    bottom.set(xlabel="prototype, most used first", ylabel="use (logits)")
    bottom.set_xticks(own.index, own["prototype"].astype(str), fontsize=7.5 if len(own) <= 40 else 5, rotation=90)
    bottom.grid(axis="y")
    legend(figure, *bottom.get_legend_handles_labels())
    label, detections = experiment.variant(variant).label, int(own["detections"].iloc[0])
    caption = (
        f"Coefficients of {label}, seed {seed} (prototypes of other seeds are others), in the {detections} detections on "
        f"{experiment.data}, scale {experiment.scale}, that find an object. Top: median, quartiles and the range from 5 % to "
        "95 %. Bottom: mean |coefficient| × mean activation inside the crop, the part with positive coefficients upwards, with "
        "negative ones downwards."
    )
    both = int(((own["negative"] > 0.1) & (own["negative"] < 0.9)).sum())
    alt = (
        f"Of {len(own)} prototypes, {int((own['negative'] >= 0.9).sum())} are subtracted in at least 9 of 10 detections, "
        f"{int((own['negative'] <= 0.1).sum())} added in at least 9 of 10, and {both} are used with both signs."
    )
    return Picture("coefficient_distributions", figure, caption, alt, frame)


@house_style
def subtraction(experiment: Experiment) -> Picture:
    """The share of the prototypes' use that is subtraction, by class, for each variant with its seeds.

    Raises:
        MissingResult: no variant has coefficients that found an object.
    """
    names = measured_variants(experiment)
    frame = pd.concat([sign_use(experiment, name).assign(variant=name) for name in names], ignore_index=True)
    classes = _most_frequent(frame)
    figure = new_figure(1.5 + 0.34 * len(classes))
    axes = figure.subplots()
    step = 0.6 / len(names)
    for place, name in enumerate(names):
        own = frame[frame["variant"] == name]
        for row, one in enumerate(classes):
            values = own[own["class"] == one]["subtracted"].dropna()
            at = row + (place - (len(names) - 1) / 2) * step
            colour, sign = colours(experiment)[name], marker(experiment, name)
            axes.plot(values, [at] * len(values), "|", color=colour, markersize=8, markeredgewidth=1.3)
            axes.errorbar(values.mean(), at, xerr=values.std() if len(values) > 1 else None, fmt=sign, color=colour, capsize=3,
                          markersize=6, label=experiment.variant(name).label if row == 0 else None)  # fmt: skip
    axes.set_yticks(range(len(classes)), ["all classes" if one == "all" else one for one in classes])
    axes.set_ylim(len(classes) - 0.4, -0.6)
    axes.set(xlabel="subtracted share of |coefficient| × activation", xlim=(0, 1))
    axes.axvline(0.5, color=REFERENCE, linewidth=0.8, linestyle=":")
    axes.grid(axis="x")
    legend(figure, *axes.get_legend_handles_labels())
    counts = frame[frame["class"] == "all"].groupby("variant")["seed"].nunique()
    caption = (
        f"How much of what prototypes give to a mask is subtracted, inside the crops of detections on {experiment.data}, scale "
        f"{experiment.scale}, that find an object: mean over seeds with the sample standard deviation, ticks are single seeds "
        f"({seeds(counts)}). At the dotted line as much is subtracted as added."
    )
    means = frame[frame["class"] == "all"].groupby("variant", sort=False)["subtracted"].mean()
    alt = " ".join(
        f"{experiment.variant(str(name)).label}: {100 * share:.0f} % is subtracted." for name, share in means.items()
    )
    return Picture("subtraction", figure, caption, alt, frame)


@house_style
def oracle_scatter(experiment: Experiment, variant: str) -> Picture:
    """Mask IoU with the best coefficients over that with the predicted ones, a point per detection.

    Raises:
        MissingResult: the variant has no coefficients that found an object.
    """
    frame = oracle_ious(experiment, variant)
    figure = new_figure(4.9)
    axes, beside = figure.subplots(1, 2)
    drawn = frame.sample(min(MOST_POINTS, len(frame)), random_state=0)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.9, linestyle=":")
    axes.scatter(drawn["iou"], drawn["best_iou"], s=9, alpha=0.35, color=colours(experiment)[variant], linewidths=0)
    axes.set(xlabel="mask IoU as predicted", ylabel="mask IoU with the best coefficients", xlim=(0, 1), ylim=(0, 1.01))
    for one in (axes, beside):
        one.set_box_aspect(1)
    axes.grid()
    _draw_cumulative(beside, frame)
    legend(figure, *beside.get_legend_handles_labels())
    means = frame[list(IOUS)].mean()
    said = ", ".join(f"{IOUS[name]} {means[name]:.3f}" for name in IOUS)
    caption = (
        f"The {len(frame)} detections of {experiment.variant(variant).label} on {experiment.data}, scale {experiment.scale}, "
        f"that find an object ({seeds(pd.Series([frame['seed'].nunique()]))}). Left: a point each"
        f"{f' ({MOST_POINTS} of them)' if len(frame) > MOST_POINTS else ''}; the height above the dotted line is what better "
        "coefficients on the same prototypes would bring. Right: share of detections whose IoU is at least that; dotted, as "
        "a control, the best that as many free numbers do on the prototypes of another image. Means: "
        f"{said}."
    )
    return Picture("oracle_scatter", figure, caption, f"Mean mask IoU: {said}.", frame)


def coefficients_answer(experiment: Experiment, variant: str) -> str:
    """One sentence: how much is subtracted, and what the best coefficients would reach.

    Raises:
        MissingResult: the variant has no coefficients that found an object.
    """
    networks = read_coefficients(experiment, variant)
    shares = sign_use(experiment, variant)
    own = 100 * shares[shares["class"] == "all"]["subtracted"]
    spread = f" ± {own.std():.0f}" if len(own) > 1 else ""
    count = f"{len(networks)} seeds" if len(networks) > 1 else "ONE seed"
    means = [np.mean([one.ious[name].mean() for one in networks]) for name in ("iou", "best_iou", "limit_iou")]
    return (
        f"{experiment.variant(variant).label} on {experiment.data} at scale {experiment.scale} ({count}): "
        f"{own.mean():.0f}{spread} % of what prototypes give to masks is subtracted; the best coefficients would raise the "
        f"mean mask IoU from {means[0]:.2f} to {means[1]:.2f}, prototypes that span every mask to {means[2]:.2f}."
    )


def _draw_quantiles(axes: Axes, own: pd.DataFrame) -> None:
    axes.vlines(own.index, own["q05"], own["q95"], color=INK, linewidth=0.9)
    axes.bar(own.index, own["q75"] - own["q25"], bottom=own["q25"], width=0.6, color=OKABE_ITO[5], edgecolor=INK, linewidth=0.7)
    axes.plot(own.index, own["median"], "_", color=INK, markersize=7, markeredgewidth=1.8)
    axes.axhline(0, color=REFERENCE, linewidth=0.9, linestyle=":")
    axes.set(ylabel="coefficient")
    axes.grid(axis="y")


def _draw_cumulative(axes: Axes, frame: pd.DataFrame) -> None:
    thresholds = np.linspace(0, 1, 101)
    shown = {
        "iou": (OKABE_ITO[1], "-"),
        "other_iou": (INK, ":"),
        "best_iou": (OKABE_ITO[0], "--"),
        "limit_iou": (OKABE_ITO[2], "-."),
    }
    for name, (colour, dash) in shown.items():
        known = frame[name].dropna()
        share = [(known >= one).mean() for one in thresholds]
        axes.plot(thresholds, share, color=colour, linestyle=dash, label=IOUS[name])
    axes.set(xlabel="mask IoU", ylabel="share of detections", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid()


def _most_frequent(frame: pd.DataFrame) -> list[str]:
    counts = frame[frame["class"] != "all"].groupby("class")["detections"].sum().sort_values(ascending=False, kind="stable")
    return ["all", *sorted(counts.index[:MOST_CLASSES])] if len(counts) > 1 else ["all"]
