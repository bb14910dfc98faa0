"""Errors: what each of TIDE's types costs, and AP over the IoU threshold for masks and their boundaries."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.picture import Picture
from analysis.figures.style import INK, colours, dashes, house_style, legend, marker, new_figure, seeds
from analysis.measures.errors.read import IOU_TYPES, SPECIAL, error_table, largest_error, read_ap_by_iou
from analysis.results.experiment import Experiment, MissingResult
from yolact.measures.errors import FIXES


@house_style
def error_types(experiment: Experiment) -> Picture:
    """The AP50 that fixing each type of error would gain, for boxes and masks, per variant.

    Raises:
        MissingResult: no error budget is there.
    """
    table = error_table(experiment)
    kinds = [kind for kind in IOU_TYPES if kind in set(table["iou_type"])]
    figure = new_figure(0.9 + 2.2 * len(kinds))
    panels = figure.subplots(len(kinds), 2, sharex="col", sharey="col", squeeze=False, width_ratios=[6, 2.2])
    for (left, right), kind in zip(panels, kinds, strict=True):
        own = table[table["iou_type"] == kind]
        _bars(left, experiment, own, list(FIXES))
        _bars(right, experiment, own, list(SPECIAL))
        left.set(title=f"{IOU_TYPES[kind]}: six types", ylabel="AP50 gained (points)")
        right.set(title="in all")
    panels[-1][0].set_xlabel("error fixed, all others left")
    legend(figure, *panels[0][0].get_legend_handles_labels())
    words = "; ".join(f"{name} {meaning}" for name, meaning in {**FIXES, **SPECIAL}.items())
    caption = (
        f"AP at IoU .50 that fixing one type of error alone would gain, on {experiment.data}, scale {experiment.scale}: mean "
        f"over seeds with the sample standard deviation ({seeds(table['n'])}). {words}. The gains don't add up; the two "
        "columns have scales of their own."
    )
    alt = " ".join(_sentence(experiment, name) for name in dict.fromkeys(table["variant"]))
    return Picture("error_types", figure, caption, alt, table)


@house_style
def ap_by_iou(experiment: Experiment) -> Picture:
    """AP over the IoU threshold for masks and, where measured, by boundary IoU.

    Raises:
        MissingResult: no mask was evaluated.
    """
    curves = read_ap_by_iou(experiment)
    kinds = [kind for kind in _TITLES if kind in set(curves["kind"])]
    figure = new_figure(3.6)
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    shown: dict[str, object] = {}
    for axes, kind in zip(panels, kinds, strict=True):
        for name in dict.fromkeys(curves["variant"]):
            own = curves[(curves["variant"] == name) & (curves["kind"] == kind)]
            if not own.empty:
                shown[experiment.variant(name).label] = _curve(axes, experiment, name, own)
        axes.set(title=_TITLES[kind], xlabel="IoU threshold")
        axes.grid()
    panels[0].set(ylabel="AP at the threshold (%)", ylim=(0, None))
    legend(figure, list(shown.values()), list(shown))
    boundary = " Right: a mask must also agree within a band along its edge (boundary IoU)." if "boundary" in kinds else ""
    caption = (
        f"Mask AP at each IoU threshold on {experiment.data}, scale {experiment.scale}: mean and range over seeds "
        f"({seeds(curves.groupby(['variant', 'kind'])['seed'].nunique())}).{boundary}"
    )
    ends = curves[curves["iou"].isin([0.5, 0.75, 0.95])].groupby(["kind", "variant", "iou"], sort=False)["AP"].mean()
    alt = " ".join(f"{name}, {kind} AP at IoU {iou:.2f}: {value:.1f} %." for (kind, name, iou), value in ends.items())
    return Picture("ap_by_iou", figure, caption, alt, curves)


_TITLES = {"mask": "mask AP", "boundary": "boundary AP"}


def _bars(axes: Axes, experiment: Experiment, table: pd.DataFrame, fixes: list[str]) -> None:
    names = [name for name in experiment.colour_order if name in set(table["variant"])]
    width = 0.8 / len(names)
    for index, name in enumerate(names):
        own = table[table["variant"] == name].set_index("fix").loc[fixes]
        places = [place - 0.4 + (index + 0.5) * width for place in range(len(fixes))]
        errors = [0 if math.isnan(sd) else sd for sd in own["sd"]]
        axes.bar(places, own["delta"], 0.9 * width, color=colours(experiment)[name], label=experiment.variant(name).label)
        if any(errors):
            axes.errorbar(places, own["delta"], yerr=errors, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
    axes.set_xticks(range(len(fixes)), fixes)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")


def _curve(axes: Axes, experiment: Experiment, name: str, own: pd.DataFrame) -> object:
    values = own.groupby("iou")["AP"]
    mean, colour = values.mean(), colours(experiment)[name]
    axes.fill_between(mean.index, values.min(), values.max(), color=colour, alpha=0.18, linewidth=0)
    (line,) = axes.plot(mean.index, mean, color=colour, linestyle=dashes(experiment, name), marker=marker(experiment, name),
                        markersize=4)  # fmt: skip
    return line


def _sentence(experiment: Experiment, variant: str) -> str:
    try:
        return largest_error(experiment, variant)
    except MissingResult as reason:
        return f"{str(reason)[0].upper()}{str(reason)[1:]}."
