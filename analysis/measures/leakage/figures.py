"""Leakage and localisation failure: what masks hold beside their objects, when they fail, and the worst of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from analysis.figures.picture import Picture
from analysis.figures.style import OKABE_ITO, colours, dashes, house_style, legend, marker, new_figure, seeds, spaced
from analysis.measures.leakage.read import BINS, leakage_sentence, objects, rates, spread
from analysis.results.experiment import Experiment, MissingResult, first

PARTS = {"leak_same": "on others of its class", "leak_other": "on other classes", "leak_background": "on the background"}
GREYS = ("#5f6870", "#98a0a7", "#cdd2d6")
"""Of PARTS: colours belong to variants."""
SORTS = {"leak": "largest share of the mask outside its object", "merged": "largest share of a neighbour taken in"}
"""What `worst` can show."""
COLUMNS = 6


@house_style
def leakage(experiment: Experiment) -> Picture:
    """Where the masks' surplus pixels lie, and what the crop holds back, by size of object.

    Raises:
        MissingResult: nothing was measured.
    """
    frame = spread(experiment)
    variants, sizes = list(dict.fromkeys(frame["variant"])), list(BINS["size"][1])
    figure = new_figure(1.2 + 0.55 * len(variants) * len(sizes) * 0.75)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.25, 1])
    rows = [(variant, size) for variant in variants for size in sizes]
    table = frame.set_index(["variant", "bin"])
    for place, (variant, size) in enumerate(rows):
        if (variant, size) not in table.index:
            left.text(0, place, " none", va="center", fontsize=8.5)
            continue
        own, start = table.loc[(variant, size)], 0.0
        for shade, (part, words) in zip(GREYS, PARTS.items(), strict=True):
            left.barh(place, own[part], 0.62, left=start, color=shade, label=words)
            start += own[part]
        colour = colours(experiment)[variant]
        right.plot([own["uncropped_iou"], own["mask_iou"]], [place, place], color=colour, linewidth=1.4)
        right.plot(
            own["uncropped_iou"], place, "o", markersize=6, markerfacecolor="none", color=colour, label="before the crop"
        )
        right.plot(own["mask_iou"], place, "o", markersize=6, color=colour, label="as given out")
    labels = [f"{experiment.variant(variant).label}, {size}" for variant, size in rows]
    left.set_yticks(range(len(rows)), labels)
    left.set_ylim(len(rows) - 0.4, -0.6)
    left.set(xlabel="share of the mask's pixels (%)", title="outside the object")
    right.set(xlabel="mean IoU with the object", xlim=(0, 1), title="what the crop holds back")
    for axes in (left, right):
        axes.grid(axis="x")
    handles: dict[str, object] = {}
    for axes in (left, right):
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    legend(figure, list(handles.values()), list(handles))
    n = frame["n"].max()
    over = "seed" if n == 1 else "seeds"
    caption = (
        f"Objects that a box found on {experiment.data}, scale {experiment.scale}, by COCO's sizes (small below 32², "
        f"large from 96² pixels); means over the objects of {n} {over}. Left: where the mask's pixels outside its object "
        "lie. Right: IoU of mask and object before and after the crop; methods without a crop have one mark."
    )
    alt = leakage_sentence(experiment, variants[0])
    return Picture("leakage", figure, caption, alt, frame)


@house_style
def localisation_failure(experiment: Experiment) -> Picture:
    """How often masks fail though boxes don't, against crowding and against overlap with a same-class neighbour.

    Raises:
        MissingResult: nothing was measured.
    """
    panels = {"neighbours": "same-class neighbours touching", "overlap": "box IoU with a same-class neighbour"}
    frames = {by: rates(experiment, by).assign(by=by) for by in panels}
    figure = spaced(new_figure(3.6))
    for axes, (by, label) in zip(figure.subplots(1, 2, sharey=True), panels.items(), strict=True):
        _lines(axes, experiment, frames[by][frames[by]["rate"] == "failed"], list(BINS[by][1]))
        axes.set(xlabel=label)
        axes.grid(axis="y")
    axes = figure.axes[0]
    axes.set(ylabel="masks that fail (% of objects found)")
    axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
    legend(figure, *axes.get_legend_handles_labels())
    frame = objects(experiment)
    counted = seeds(frame.groupby("variant")["seed"].nunique())
    caption = (
        f"Share of the objects found by a box whose mask has an IoU below 0.5 with them, on "
        f"{frame['image_id'].nunique()} images of {experiment.data}, scale {experiment.scale}, "
        f"those of all seeds together ({counted}). Bars: 95 % intervals of a bootstrap over images. Numbers: objects."
    )
    return Picture(
        "localisation_failure", figure, caption, leakage_sentence(experiment, experiment.reference), pd.concat(frames)
    )


def _lines(axes: Axes, experiment: Experiment, frame: pd.DataFrame, bins: list[str]) -> None:
    variants = list(dict.fromkeys(frame["variant"]))
    for place, variant in enumerate(variants):
        own = frame[(frame["variant"] == variant) & (frame["objects"] > 0)].sort_values(
            "bin", key=lambda names: names.map(bins.index)
        )
        x = np.array([bins.index(one) for one in own["bin"]]) + 0.08 * (place - (len(variants) - 1) / 2)
        errors = [own["value"] - own["low"], own["high"] - own["value"]]
        style: dict[str, Any] = {
            "color": colours(experiment)[variant],
            "marker": marker(experiment, variant),
            "linestyle": dashes(experiment, variant),
        }
        axes.errorbar(x, own["value"], yerr=errors, capsize=3, elinewidth=1, label=experiment.variant(variant).label, **style)
        for at, top, count in zip(x, own["high"], own["objects"], strict=True):
            axes.annotate(f"{count}", (at, top), (0, 2), textcoords="offset points", fontsize=8, ha="center", va="bottom")
    axes.set_xticks(range(len(bins)), bins)
    axes.set_xlim(-0.5, len(bins) - 0.5)


@house_style
def worst(experiment: Experiment, variant: str, sort: str) -> Picture:
    """The worst objects of a variant's first seed that was measured.

    Args:
        sort: of SORTS.

    Raises:
        MissingResult: nothing was measured, or no object is that bad.
    """
    seed, cases = _cases(experiment, variant, sort)
    rows = -(-len(cases) // COLUMNS)
    figure = new_figure(0.3 + 1.45 * rows)
    for axes in figure.subplots(rows, COLUMNS, squeeze=False).flat:
        axes.set_axis_off()
    for axes, case in zip(figure.axes, cases, strict=False):
        axes.imshow(case["image"], interpolation="none")
        for name, colour, style in (("truth", "white", "-"), ("mask", OKABE_ITO[1], "-")):
            if case[name].any() and not case[name].all():
                axes.contour(case[name].astype(float), [0.5], colors=[colour], linewidths=1.6, linestyles=style)
        x1, y1, x2, y2 = case["box"]
        axes.plot([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1], ":", color=OKABE_ITO[4], linewidth=1.2)
        axes.set_title(f"{100 * float(case['value']):.0f} %, image {int(case['image_id'])}", fontsize=8, fontweight="normal")
        axes.set(xlim=(-0.5, case["image"].shape[1] - 0.5), ylim=(case["image"].shape[0] - 0.5, -0.5))
    caption = (
        f"{experiment.variant(variant).label}, seed {seed}, on {experiment.data}, scale {experiment.scale}: the {len(cases)} "
        f"objects with the {SORTS[sort]}, worst first. White: the object; orange: the mask; dotted: the box that the mask is "
        "cropped by."
    )
    data = pd.DataFrame({"image_id": [int(case["image_id"]) for case in cases], sort: [float(case["value"]) for case in cases]})
    alt = f"The {len(cases)} worst masks, from {100 * data[sort].iloc[0]:.0f} % on."
    return Picture(f"worst_{sort}", figure, caption, alt, data)


def _cases(experiment: Experiment, variant: str, sort: str) -> tuple[int, list[dict[str, np.ndarray]]]:
    label = experiment.variant(variant).label
    seed, arrays = first(experiment, variant, _worst, f"leakage of {label} was not measured")
    places = sorted({int(name.split("_")[1]) for name in arrays if name.startswith(f"{sort}_")})
    names = ("image", "mask", "truth", "box", "value", "image_id")
    cases = [{name: arrays[f"{sort}_{place}_{name}"] for name in names} for place in places]
    if not cases:
        raise MissingResult(f"{label} has no such object")
    return seed, cases


def _worst(experiment: Experiment, variant: str, seed: int) -> Mapping[str, NDArray[Any]]:
    return experiment.arrays(variant, seed, "leakage", "worst.npz")
