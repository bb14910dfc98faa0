"""Probes: the paper's figure 5, activations by place, what the border does, and what padding is worth."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from analysis.figures.picture import Picture
from analysis.figures.style import (
    GROUND,
    INK,
    REFERENCE,
    colours,
    dashes,
    house_style,
    label_rows,
    legend,
    marker,
    new_figure,
    seeds,
    spaced,
)
from analysis.measures.probes.read import MEASURES, Probed, border_profiles, first_probed, probes, probes_summary
from analysis.results.experiment import Experiment, MissingResult

DRAWN = 6
"""Prototypes in a picture, as in the paper's figure 5: those that place has most part in, least, and between."""
FAINT = 0.01
"""Prototypes of less variance than this fraction of the largest are not drawn."""


@house_style
def figure_five(experiment: Experiment, variant: str | None = None) -> Picture:
    """The paper's figure 5 on generated pictures: probes × prototypes, of a variant's first seed (None: the reference).

    Raises:
        MissingResult: the variant was not probed.
    """
    name = variant or experiment.reference
    one = first_probed(experiment, name)
    chosen, maps = drawn_prototypes(one), one.arrays["maps"].astype(np.float32)
    figure = new_figure(0.5 + 1.17 * (len(chosen) + 1))
    grid = figure.subplots(len(chosen) + 1, len(maps), squeeze=False)
    for column, probe in enumerate(one.arrays["names"]):
        axes = grid[0, column]
        axes.imshow(one.arrays["images"][column], interpolation="none")
        axes.set_title(f"{chr(97 + column)}  {_wrapped(str(probe))}", fontsize=9, fontweight="normal")
        for row, number in enumerate(chosen, start=1):
            low, high = maps[:, number].min(), maps[:, number].max()
            span = max(high - low, 1e-6)
            panel = grid[row, column]
            panel.imshow((maps[column, number] - low) / span, cmap="cividis", vmin=0, vmax=1, interpolation="none")
            if column == 0:
                panel.set_ylabel(f"no. {number}\nplace {_percent(one.arrays['position'][number])}", fontsize=8.5)
    _bare(grid)
    bar = figure.colorbar(grid[1, 0].images[0], ax=list(grid.flat), location="bottom", shrink=0.35, aspect=35, ticks=[0, 1])
    bar.ax.set_xticklabels(["lowest", "highest"], fontsize=8.5)
    bar.outline.set_edgecolor(INK)
    caption = (
        f"The paper's figure 5 on generated pictures: {experiment.variant(name).label}, seed {one.seed}, trained on "
        f"{experiment.data_name}, scale {experiment.scale}. Columns: probes, {_origin(one)}. Rows: {len(chosen)} of "
        f"{one.summary['prototypes']} prototypes, evenly chosen by the part that place has in their activation over an object, "
        "most first; each is scaled to its own range over the six probes. A network without a sense of place answers to (a) "
        "with one value, and alike to the object in (b) and (c)."
    )
    data = pd.DataFrame({"prototype": chosen, "position": one.arrays["position"][chosen],
                         **{f"variation on {probe}": maps[index, chosen].std(axis=(1, 2))
                            for index, probe in enumerate(one.arrays["names"])}})  # fmt: skip
    alt = (
        f"Activations of prototypes {[int(n) for n in chosen]} on a solid red picture, an object at the left and at the right, "
        f"two neighbours and crowds. Place has a part of {_percent(one.summary['position'])} in the variance of all prototypes."
    )
    return Picture(f"figure_five_{name}", figure, caption, alt, data)


@house_style
def activation_by_place(experiment: Experiment, variant: str | None = None) -> Picture:
    """Activation over a moved object against where it stands, of a variant's first seed (None: the reference).

    Raises:
        MissingResult: the variant was not probed.
    """
    name = variant or experiment.reference
    one = first_probed(experiment, name)
    chosen, places = drawn_prototypes(one), one.arrays["places"]
    mean = one.arrays["activation"].mean(axis=0)
    figure = new_figure(5.1)
    panels = figure.subplots(2, 4, sharex=True, sharey=True).ravel()
    half = (places[1] - places[0]) / 2 if len(places) > 1 else 0.5
    extent = (places[0] - half, places[-1] + half, places[-1] + half, places[0] - half)
    shown = [(f"no. {number}, place {_percent(one.arrays['position'][number])}", mean[..., number]) for number in chosen]
    shown.append(("mask IoU", one.arrays["mask_iou"].mean(axis=0)))
    for axes, (title, values) in zip(panels, shown, strict=False):
        low, high = values.min(), values.max()
        for cell in range(1, one.summary["cells"]):
            edge = places[cell * one.summary["phases"]] - half
            axes.axhline(edge, color="white", linewidth=0.8)
            axes.axvline(edge, color="white", linewidth=0.8)
        image = axes.imshow(values, cmap="cividis", extent=extent, interpolation="none")
        axes.set_title(title, fontsize=9, fontweight="normal")
        bar = figure.colorbar(
            image, ax=axes, location="bottom", aspect=12, pad=0.02, ticks=[low, high] if high > low else [low]
        )
        ends = bar.ax.set_xticklabels([f"{value:.2g}" for value in ((low, high) if high > low else (low,))], fontsize=8)
        ends[0].set_horizontalalignment("left")
        ends[-1].set_horizontalalignment("right")
        bar.outline.set_edgecolor(INK)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    figure.supxlabel("middle of the object, x (px of the input)", fontsize=10)
    figure.supylabel("middle of the object, y (px)", fontsize=10)
    cells, phases, stride = (one.summary[key] for key in ("cells", "phases", "stride"))
    caption = (
        f"Activation over an object against its place: {experiment.variant(name).label}, seed {one.seed}, trained on "
        f"{experiment.data_name}, scale {experiment.scale}; mean of {one.summary['objects']} objects, {_origin(one)}. Each "
        f"scale is the panel's own. What repeats in every one of the {cells} × {cells} cells is aliasing by the stride of "
        f"{stride} px; a sense of place is what differs between them. Each holds {phases} × {phases} places. Percentages: "
        "place's part "
        "in the variance."
    )
    rows = [{"panel": title, "x": int(x), "y": int(y), "value": float(values[j, i])}
            for title, values in shown for j, y in enumerate(places) for i, x in enumerate(places)]  # fmt: skip
    part = _percent(one.summary["position"])
    alt = f"Maps of activation by place. Place has a part of {part} in the variance of all prototypes."
    return Picture(f"activation_by_place_{name}", figure, caption, alt, pd.DataFrame(rows))


@house_style
def border_profile(experiment: Experiment) -> Picture:
    """How uneven a picture of one colour looks to the prototypes, by distance to the border: mean and range over seeds.

    Raises:
        MissingResult: nothing was probed.
    """
    frame = border_profiles(experiment)
    figure = new_figure(3.8)
    axes = figure.subplots()
    for name in dict.fromkeys(frame["variant"]):
        own = frame[frame["variant"] == name].groupby("distance")["deviation"].agg(["mean", "min", "max"])
        colour = colours(experiment)[name]
        axes.plot(own.index, own["mean"], color=colour, linestyle=dashes(experiment, name), marker=marker(experiment, name),
                  markersize=4, label=experiment.variant(name).label)  # fmt: skip
        axes.fill_between(own.index, own["min"], own["max"], color=colour, alpha=0.18, linewidth=0)
    axes.set(
        xlabel="distance to the nearest border (px of the input)", ylabel="deviation from the middle\n(% of the map's strength)"
    )
    axes.set_xlim(left=0)
    axes.grid()
    legend(figure, *axes.get_legend_handles_labels())
    counts = frame.groupby("variant")["seed"].nunique()
    caption = (
        f"Pictures of one colour (six colours), seen by networks trained on {experiment.data_name}, scale {experiment.scale}: "
        "mean deviation of a prototype from its value in the middle, over prototypes and colours, in % of the map's root mean "
        "square. "
        f"Lines: mean over seeds, bands: their range ({seeds(counts)}). Without a sense of place it is 0 everywhere."
    )
    ends = [f"{experiment.variant(name).label}: {own.sort_values('distance')['deviation'].iloc[0]:.0f} % at the border."
            for name, own in frame.groupby(["variant", "distance"], sort=False)["deviation"].mean().reset_index()
            .groupby("variant", sort=False)]  # fmt: skip
    return Picture("border_profile", figure, caption, " ".join(ends), frame)


@house_style
def sense_of_place(experiment: Experiment, table: pd.DataFrame) -> Picture:
    """Place's part in the activations, how well it can be read, and the change of mask AP, by variant.

    Args:
        table: of `tables.summary`.

    Raises:
        MissingResult: nothing was probed.
    """
    single, summary = probes(experiment), probes_summary(experiment)
    names = list(dict.fromkeys(single["variant"]))
    figure = spaced(new_figure(1.9 + 0.5 * len(names)))
    left, middle, right = figure.subplots(1, 3, sharey=True)
    for place, name in enumerate(names):
        _draw_measure(left, experiment, single, summary, name, "position", place)
        _draw_measure(middle, experiment, single, summary, name, "readout_x", place - 0.14)
        _draw_measure(middle, experiment, single, summary, name, "readout_y", place + 0.14, filled=False)
        _draw_accuracy(right, experiment, table, name, place)
    left.set(xlabel="% of the variance", title="place's part")
    left.set_xlim(left=0)
    middle.set(xlabel="R² on held-out places", title="place told")
    right.set(xlabel="change (points)", title="mask AP")
    label_rows(left, experiment, names)
    for axes in (middle, right):
        axes.axvline(0, color=REFERENCE, linewidth=0.9)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    if not right.lines[:-1]:
        right.set_xticks([])
        right.text(0.5, 0.5, "nothing to compare", transform=right.transAxes, ha="center", va="center", fontsize=9)
    stride = first_probed(experiment, names[0]).summary["stride"]
    counts, reference = single.groupby("variant")["seed"].nunique(), experiment.variant(experiment.reference).label
    caption = (
        f"The sense of place by variant, networks trained on {experiment.data_name}, scale {experiment.scale}: means over "
        f"seeds with the sample standard deviation, ticks are single seeds ({seeds(counts)}). Left: "
        f"{MEASURES['position'].label}, moved by multiples of the stride of {stride} px, "
        f"in % of the variance over places, objects and "
        "shifts below the "
        "stride, of all prototypes together; mirrored or repeated borders show an object twice, which tells place too. Middle: "
        f"column (filled) and row (empty) told by a linear map, 0 is chance. Right: paired change against {reference} with its "
        "95 % interval, filled where it excludes 0."
    )
    data = _with_accuracy(summary, table)
    positions = summary[summary["measure"] == "position"]
    alt = "Place's part. " + " ".join(f"{row.label}: {row.mean:.1f} %." for row in positions.itertuples())
    return Picture("sense_of_place", figure, caption, alt, data)


def drawn_prototypes(one: Probed) -> NDArray[np.intp]:
    """Numbers of DRAWN prototypes at most: evenly chosen by the part that place has, most first, from those that matter, whose
    variance is at least FAINT of the largest.

    Raises:
        MissingResult: none varies.
    """
    position, variance = one.arrays["position"], one.arrays["variance"]
    matters = (variance > 0) & (variance >= FAINT * variance.max())
    order = [int(number) for number in np.argsort(-position, kind="stable") if matters[number]]
    if not order:
        raise MissingResult("no prototype answers differently to any object or place")
    places = np.unique(np.linspace(0, len(order) - 1, min(DRAWN, len(order))).round().astype(int))
    return np.array([order[place] for place in places], np.intp)


def _draw_measure(axes: Axes, experiment: Experiment, single: pd.DataFrame, summary: pd.DataFrame, name: str, measure: str,
                  place: float, filled: bool = True) -> None:  # fmt: skip
    colour = colours(experiment)[name]
    row = summary[(summary["variant"] == name) & (summary["measure"] == measure)]
    if row.empty:
        return
    own = single[single["variant"] == name][measure].dropna()
    axes.plot(own, [place + 0.22 if filled else place + 0.1] * len(own), "|", color=colour, markersize=6, markeredgewidth=1.2)
    spread = None if math.isnan(row["sd"].iloc[0]) else row["sd"].iloc[0]
    axes.errorbar(row["mean"].iloc[0], place, xerr=spread, fmt=marker(experiment, name), color=colour, capsize=3,
                  mfc=colour if filled else GROUND, markersize=6.5)  # fmt: skip


def _draw_accuracy(axes: Axes, experiment: Experiment, table: pd.DataFrame, name: str, place: float) -> None:
    row = table[(table["variant"] == name) & (table["metric"] == "mask_AP")]
    if row.empty or math.isnan(row["change"].iloc[0]):
        return
    change, low, high = (float(row[key].iloc[0]) for key in ("change", "low", "high"))
    colour = colours(experiment)[name]
    error = None if math.isnan(low) else [[change - low], [high - change]]
    axes.errorbar(change, place, xerr=error, fmt=marker(experiment, name), color=colour, capsize=3, markersize=6.5,
                  mfc=colour if row["clearly"].iloc[0] else GROUND)  # fmt: skip


def _with_accuracy(summary: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    columns = ["variant", "label", "measure", "unit", "mean", "sd", "n", "change", "low", "high", "clearly"]
    accuracy = table[(table["metric"] == "mask_AP") & table["mean"].notna()].rename(columns={"metric": "measure"})
    return pd.concat([summary[columns], accuracy[columns]], ignore_index=True)


def _bare(grid: NDArray) -> None:
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_visible(False)


def _wrapped(probe: str) -> str:
    """On two lines, broken nearest to the middle."""
    spaces = [index for index, letter in enumerate(probe) if letter == " "]
    cut = min(spaces, key=lambda index: abs(index - len(probe) / 2), default=None)
    return probe if cut is None else f"{probe[:cut]}\n{probe[cut + 1 :]}"


def _percent(share: float | None) -> str:
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.0f} %"


def _origin(one: Probed) -> str:
    drawn = one.summary["source"] == "drawn"
    return "shapes drawn as the data set's on plain ground" if drawn else "objects cut from its images on plain ground"
