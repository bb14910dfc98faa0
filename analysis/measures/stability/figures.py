"""How steady masks are over time: IoU of successive frames, flicker, and a strip of film."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from analysis.figures.picture import Picture
from analysis.figures.style import (
    INK,
    OKABE_ITO,
    WIDTH,
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
from analysis.measures.stability.read import MEASURES, mask_pairs, objects, stability_table
from analysis.results.experiment import Experiment, MissingResult, every
from analysis.results.frames import table as result_table

UNSTEADINESS = ("flicker", "gaps", "box_jitter", "score_change")
_POINTS = np.linspace(0, 1, 401)
Film = Mapping[str, NDArray[Any]]
"""Arrays of film.npz (`yolact/measures/stability/__init__.py`)."""


@house_style
def consecutive_iou(experiment: Experiment) -> Picture:
    """Mask IoU between successive frames, motion taken out: its distribution and its mean per variant.

    Raises:
        MissingResult: no stability was measured, or no mask was found in two successive frames.
    """
    pairs, table = mask_pairs(experiment), stability_table(experiment)
    rows = table[table["measure"] == "iou"]
    if rows.empty:
        raise MissingResult("no mask was found in two successive frames")
    figure = new_figure(2.6 + 0.3 * len(rows))
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    curves = []
    for name in rows["variant"]:
        own = np.sort(pairs[pairs["variant"] == name]["iou"])
        share = 100 * np.searchsorted(own, _POINTS, side="right") / len(own)
        left.plot(_POINTS, share, dashes(experiment, name), color=colours(experiment)[name],
                  label=experiment.variant(name).label)  # fmt: skip
        curves.append(pd.DataFrame({"variant": name, "iou": _POINTS, "percent_at_most": share}))
    left.set(xlabel="mask IoU of successive frames", ylabel="pairs of frames (%)", ylim=(0, 101))
    left.set_xlim(max(0.0, float(pairs["iou"].quantile(0.02)) - 0.05), 1)
    left.grid()
    _draw_means(right, experiment, rows, pairs)
    legend(figure, *left.get_legend_handles_labels())
    drawn = "tracks" if objects(experiment).empty else "sequences"
    caption = (
        "Mask IoU of one object in successive frames with its motion taken out, 1 for a mask that moves exactly as the object "
        f"does; {_where(experiment)}. Left: share of pairs of frames with at most this IoU, all seeds together. Right: mean of "
        f"seeds ({seeds(rows['n'])}) with the 95 % bootstrap interval over {drawn}; ticks are single seeds."
    )
    alt = "Mean IoU of successive masks: " + ", ".join(f"{row.label} {row.mean:.3f}" for row in rows.itertuples()) + "."
    return Picture("consecutive_iou", figure, caption, alt, pd.concat(curves, ignore_index=True))


@house_style
def flicker(experiment: Experiment) -> Picture:
    """Flicker, gaps in tracks, box jitter and change of score per variant; raises as `stability.tracks` does."""
    table = stability_table(experiment)
    rows = table[table["measure"].isin(UNSTEADINESS)]
    if rows.empty:
        raise MissingResult("nothing was found in any sequence")
    shown = [name for name in UNSTEADINESS if name in set(rows["measure"])]
    names = [variant.name for variant in experiment.variants if variant.name in set(rows["variant"])]
    figure = spaced(new_figure(2 * (1.1 + 0.36 * len(names))))
    grid = figure.subplots(2, 2, sharey=True)
    for axes, name in zip(grid.ravel(), shown, strict=False):
        own = rows[rows["measure"] == name].set_index("variant")
        for place, variant in enumerate(names):
            if variant in own.index:
                _draw_bar(axes, experiment, place, own.loc[variant])
        measure = MEASURES[name]
        label_rows(axes, experiment, names)
        axes.set(title=measure.label, xlabel=measure.unit)
        axes.set_xlim(0, None if own["mean"].any() else 1)
    for axes in grid.ravel()[len(shown) :]:
        axes.set_visible(False)
    caption = (
        f"Unsteadiness from frame to frame, less is better; {_where(experiment)}. Flicker: changes between found and not found "
        "of an object that both frames show. Gaps: frames without a detection, of those from a track's first to its last."
        " Box jitter: mean movement of a box's sides other than the object's own. Bars are means over seeds with their sample "
        f"standard deviations ({seeds(rows['n'])})."
    )
    reference = rows[rows["variant"] == names[0]]
    values = ", ".join(f"{row.name} {row.mean:.3g} {row.unit}" for row in reference.itertuples(index=False))
    columns = ["variant", "measure", "unit", "mean", "sd", "n", "low", "high", "count"]
    return Picture("flicker", figure, caption, f"{reference.iloc[0]['label']}: {values}.", rows[columns])


@house_style
def film_strip(experiment: Experiment, seed: int | None = None) -> Picture:
    """The same few successive frames for every variant, with outlines of the masks.

    Args:
        seed: whose networks; None takes the first that has frames.

    Raises:
        MissingResult: no frames were kept.
    """
    found = _films(experiment, seed)
    first = next(iter(found.values()))[1]
    columns, (height, width) = len(first["frames"]), first["images"].shape[1:3]
    figure = new_figure(0.32 + len(found) * (0.06 + (WIDTH - 0.45) / columns * height / width))
    grid = figure.subplots(len(found), columns, squeeze=False)
    data: list[dict[str, Any]] = []
    for line, (name, (own_seed, film)) in zip(grid, found.items(), strict=True):
        for place, axes in enumerate(line):
            overlap = _draw_frame(axes, film, place, colours(experiment)[name])
            data.append({"variant": name, "seed": own_seed, "frame": int(film["frames"][place]), "iou": overlap})
        for axes, number in zip(grid[0], film["frames"], strict=True):
            axes.set_title(f"frame {number + 1}", fontsize=9.5, fontweight="normal")
        line[0].set_ylabel(textwrap.fill(experiment.variant(name).label, 14), fontsize=8.5)
    truth = any(math.isfinite(row["iou"]) for row in data)
    outlines = "Each track is outlined in a colour of its own."
    if truth:
        outlines = (
            "The window follows one object of median size. The track that covers most of it is outlined in colour, others are "
            "dashed, the ground truth is dotted in white."
        )
    shown = ", ".join(str(one) for one in sorted({own for own, _ in found.values()}))
    caption = f"Successive frames; {_where(experiment)}; seed {shown}. {outlines}"
    alt = f"Outlines of {', '.join(experiment.variant(name).label for name in found)} in {columns} successive frames."
    return Picture("film_strip", figure, caption, alt, pd.DataFrame(data))


def _where(experiment: Experiment) -> str:
    """What the frames are made of."""
    summary = result_table(experiment, "stability", "summary.json").iloc[0]
    made = "footage" if summary["motion"] == "estimated" else f"{summary['sequences']} sequences of known motion"
    return f"{made}, trained on {experiment.data_name}, scale {experiment.scale}, scores ≥ {summary['score']:g}"


def _draw_means(axes: Axes, experiment: Experiment, rows: pd.DataFrame, pairs: pd.DataFrame) -> None:
    single = pairs.groupby(["variant", "seed"])["iou"].mean()
    for place, row in enumerate(rows.itertuples()):
        colour = colours(experiment)[row.variant]
        own = single[row.variant]
        axes.plot(own, [place + 0.22] * len(own), "|", color=colour, markersize=7, markeredgewidth=1.4)
        error = None if math.isnan(row.low) else [[row.mean - row.low], [row.high - row.mean]]
        axes.errorbar(row.mean, place, xerr=error, fmt=marker(experiment, row.variant), color=colour, capsize=4, markersize=7)
    label_rows(axes, experiment, rows["variant"].tolist())
    axes.set(xlabel="mean IoU")


def _draw_bar(axes: Axes, experiment: Experiment, place: int, row: pd.Series) -> None:
    error = None if math.isnan(row["sd"]) else row["sd"]
    axes.barh(place, row["mean"], 0.6, xerr=error, color=colours(experiment)[str(row.name)], ecolor=INK, capsize=3,
              error_kw={"linewidth": 1})  # fmt: skip


def _films(experiment: Experiment, seed: int | None) -> dict[str, tuple[int, Film]]:
    """{variant: (seed, what its film.npz holds)}"""

    def film(experiment: Experiment, variant: str, own: int) -> tuple[int, Film]:
        if seed not in (None, own):
            raise MissingResult(f"not of seed {seed}")
        return own, experiment.arrays(variant, own, "stability", "film.npz")

    found: dict[str, tuple[int, Film]] = {}
    for name, _, own in every(experiment, film, "no frames were kept", [variant.name for variant in experiment.variants]):
        found.setdefault(name, own)
    return found


def _draw_frame(axes: Axes, film: Film, place: int, colour: str) -> float:
    """Draws one frame; the IoU of the followed track's mask with the object, NaN without one."""
    tracks, truth = film["tracks"], film["truth"]
    axes.imshow(film["images"][place], interpolation="none")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    followed = _followed(tracks, truth)
    for number in np.unique(tracks[place][tracks[place] >= 0]):
        own = colour if followed is not None else OKABE_ITO[number % len(OKABE_ITO)]
        main = followed in (None, number)
        _outline(axes, tracks[place] == number, own, "-" if main else "--", 1.7 if main else 0.7)
    if followed is None:
        return math.nan
    _outline(axes, truth[place], "white", ":", 1.0)
    mask = tracks[place] == followed
    return float((mask & truth[place]).sum() / (mask | truth[place]).sum())


def _followed(tracks: NDArray[np.int32], truth: NDArray[np.bool_]) -> int | None:
    """The track that covers most of the object over all frames, -1 where none does; None where there is no object."""
    if not truth.any():
        return None
    on = tracks[truth]
    numbers, counts = np.unique(on[on >= 0], return_counts=True)
    return int(numbers[counts.argmax()]) if len(numbers) else -1


def _outline(axes: Axes, mask: NDArray[np.bool_], colour: str, line: str, width: float) -> None:
    if mask.any():
        axes.contour(np.pad(mask, 1).astype(float), levels=[0.5], colors=[colour], linestyles=[line], linewidths=width,
                     origin=None, extent=(-1.5, mask.shape[1] + 0.5, -1.5, mask.shape[0] + 0.5))  # fmt: skip
