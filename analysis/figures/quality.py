"""How good masks are beside their boxes."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.figures.accuracy import measured
from analysis.figures.picture import Picture
from analysis.figures.style import GROUND, INK, colours, house_style, label_rows, legend, new_figure, seeds
from analysis.results.experiment import Experiment, MissingResult


@house_style
def boxes_and_masks(experiment: Experiment, table: pd.DataFrame) -> Picture:
    """Box AP and mask AP of every variant, joined by a line: the gap is what masks lose beyond their boxes.

    Args:
        table: of `tables.summary`.

    Raises:
        MissingResult: no variant has both.
    """
    both = {name: measured(table, name).set_index("variant") for name in ("box_AP", "mask_AP")}
    names = [variant.name for variant in experiment.variants if all(variant.name in frame.index for frame in both.values())]
    if not names:
        raise MissingResult("no variant has both a box AP and a mask AP")
    figure = new_figure(1.5 + 0.42 * len(names))
    axes = figure.subplots()
    rows = []
    for place, name in enumerate(names):
        box, mask = both["box_AP"].loc[name], both["mask_AP"].loc[name]
        axes.plot([box["mean"], mask["mean"]], [place, place], color=colours(experiment)[name], linewidth=1.2)
        for value, filled in ((box, False), (mask, True)):
            _draw(axes, place, value, colours(experiment)[name], filled)
        gap = box["mean"] - mask["mean"]
        rows.append((name, box["mean"], box["sd"], mask["mean"], mask["sd"], gap, int(mask["n"])))
    label_rows(axes, experiment, names)
    axes.set(xlabel="AP (%)")
    axes.grid(axis="x")
    signs = [Line2D([], [], color=INK, marker="s", markerfacecolor=fill, linestyle="", label=label)
             for fill, label in ((GROUND, "box AP"), (INK, "mask AP"))]  # fmt: skip
    legend(figure, signs, ["box AP", "mask AP"])
    data = pd.DataFrame(rows, columns=["variant", "box_AP", "box_sd", "mask_AP", "mask_sd", "gap", "n"])
    caption = (
        f"AP of boxes and of masks of the same detections on {experiment.data}, scale {experiment.scale}: means over seeds "
        f"with the sample standard deviation ({seeds(data['n'])}). The length of a line is the gap between the two."
    )
    alt = " ".join(f"{row.variant}: box AP {row.box_AP:.1f} %, mask AP {row.mask_AP:.1f} %." for row in data.itertuples())
    return Picture("boxes_and_masks", figure, caption, alt, data)


def _draw(axes: Axes, place: int, row: pd.Series, colour: str, filled: bool) -> None:
    spread = None if math.isnan(row["sd"]) else row["sd"]
    axes.errorbar(row["mean"], place, xerr=spread, fmt="s", color=colour, markerfacecolor=colour if filled else GROUND,
                  capsize=3, markersize=7)  # fmt: skip
