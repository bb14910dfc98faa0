"""Where prototypes light up on average, what kinds they are, and how place and objects share them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from analysis.figures.picture import Picture
from analysis.figures.style import INK, colours, house_style, legend, marker, new_figure, seeds
from analysis.measures.responses.kinds import KINDS, SEEN
from analysis.measures.responses.read import kinds_table, measured_variants, prototype_kinds
from analysis.results.experiment import Experiment

SHOWN = 32
"""Mean maps drawn at most, those of the lowest numbers."""
COLUMNS = 8
LINE = "#ffffff"
SHORT = {"position-sensitive": "position", "localising": "localis.", "background": "backgr.", "directional": "direct."}
"""Names that fit above a small map."""


@house_style
def partition_maps(experiment: Experiment, variant: str) -> Picture:
    """The mean activation of each prototype over the images, its kind, and the line that divides it where there is one.

    Shows the first seed that has results.

    Raises:
        MissingResult: no seed has.
    """
    found, held = prototype_kinds(experiment, variant)
    seed, bound = next(iter(held.items()))
    own = found[found["seed"] == seed].reset_index(drop=True)
    shown = own.head(SHOWN)
    maps = experiment.arrays(variant, seed, "responses", "maps.npz")["mean"]
    images = experiment.read(variant, seed, "responses", "summary.json")["images"]
    rows = -(-len(shown) // COLUMNS)
    figure = new_figure(0.1 + 1.08 * rows)
    grid = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    for axes, row in zip(grid, shown.to_dict("records"), strict=False):
        _draw_map(axes, maps[row["prototype"]], row, bound.seen)
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    label = experiment.variant(variant).label
    of = f"the first {SHOWN} of {len(own)}" if len(own) > SHOWN else f"all {len(own)}"
    caption = (
        f"Mean activation of {of} prototypes over {images} images of {experiment.data}, {label}, seed {seed}, scale "
        f"{experiment.scale}; each scaled to its own range, bright is high. Above each: number, kind and its strength (a "
        f"correlation). Lines: the boundary of those whose two sides differ (correlation ≥ {bound.seen:.2g}), solid "
        "where the whole image tells them apart, dashed where objects alone do."
    )
    counts = own["kind"].value_counts()
    alt = f"Mean maps of {len(own)} prototypes of {label}. " + " ".join(f"{kind}: {n}." for kind, n in counts.items())
    return Picture("partition_maps", figure, caption, alt, own)


def _draw_map(axes: Axes, mean: NDArray[np.float32], row: dict, seen: float) -> None:
    height, width = mean.shape
    axes.imshow(mean, cmap="cividis", interpolation="none")
    if row["partition"] >= seen:
        at, style = row["boundary"], "-" if row["on"] == "everything" else "--"
        for colour, wide in (("black", 2.6), (LINE, 1.3)):
            draw = axes.axvline if row["axis"] == "x" else axes.axhline
            draw(at * (width if row["axis"] == "x" else height) - 0.5, color=colour, linewidth=wide, linestyle=style)
    kind = SHORT.get(row["kind"], row["kind"])
    axes.set_title(f"{row['prototype']} {kind}" + (f" {row['strength']:.1f}" if row["strength"] else ""), fontsize=6.8,
                   fontweight="normal", pad=2)  # fmt: skip
    axes.set_axis_off()


@house_style
def kinds_of_prototypes(experiment: Experiment) -> Picture:
    """How many prototypes of each kind a network of each variant has, beside networks with random weights.

    Raises:
        MissingResult: no variant has results.
    """
    table = kinds_table(experiment)
    names = [name for name in experiment.colour_order if name in set(table["variant"])]
    figure = new_figure(3.6)
    axes = figure.subplots()
    width = 0.8 / len(names)
    for index, name in enumerate(names):
        own = table[table["variant"] == name].set_index("kind").loc[list(KINDS)]
        x = np.arange(len(KINDS)) - 0.4 + (index + 0.5) * width
        spread = None if own["sd"].isna().all() else own["sd"]
        axes.bar(x, own["mean"], 0.9 * width, yerr=spread, color=colours(experiment)[name], ecolor=INK, capsize=2,
                 error_kw={"linewidth": 1}, label=experiment.variant(name).label)  # fmt: skip
        axes.hlines(own["random"], x - 0.45 * width, x + 0.45 * width, color=INK, linewidth=2,
                    label="random weights" if index == len(names) - 1 else "_")  # fmt: skip
    axes.set_xticks(range(len(KINDS)), [kind.replace("-", "-\n") for kind in KINDS], fontsize=9)
    axes.set(ylabel=f"prototypes (of {table['prototypes'].mean():.0f})")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    handles, labels = axes.get_legend_handles_labels()  # lines come before bars
    legend(figure, [*handles[1:], handles[0]], [*labels[1:], labels[0]])
    caption = (
        f"Prototypes by their strongest kind, on {experiment.data}, scale {experiment.scale}: mean over seeds with the sample "
        f"standard deviation ({seeds(table['n'])}). Dark lines: networks of the same configuration with random weights. A kind "
        f"is a correlation of at least {SEEN} with what it names."
    )
    counted = table[table["mean"] > 0]
    alt = "Prototypes of each kind. " + " ".join(f"{row.label}, {row.kind}: {row.mean:.1f}." for row in counted.itertuples())
    return Picture("kinds_of_prototypes", figure, caption, alt, table)


@house_style
def place_against_objects(experiment: Experiment) -> Picture:
    """Each prototype of each variant: how far the place in the image explains it, against how far objects do.

    Raises:
        MissingResult: no variant has results.
    """
    parts = []
    for name in measured_variants(experiment):
        found, _ = prototype_kinds(experiment, name)
        parts.append(found[~found["constant"]].assign(variant=name))
    data = pd.concat(parts, ignore_index=True)
    figure = new_figure(3.8)
    axes = figure.subplots()
    axes.axhspan(-SEEN, SEEN, xmax=1, color=INK, alpha=0.06, linewidth=0)
    axes.axvspan(-0.1, SEEN, color=INK, alpha=0.06, linewidth=0)
    for name, own in data.groupby("variant", sort=False):
        axes.plot(own["place"], own["objects"], marker(experiment, str(name)), color=colours(experiment)[str(name)], alpha=0.65,
                  markersize=4.5, markeredgewidth=0, label=experiment.variant(str(name)).label)  # fmt: skip
    axes.set(xlim=(-0.1, 1.02), ylim=(-1.02, 1.02), xlabel="correlation with the mean map of the other images (place)",
             ylabel="correlation with objects")  # fmt: skip
    axes.grid()
    legend(figure, *axes.get_legend_handles_labels())
    counts = data.groupby("variant")["seed"].nunique()
    caption = (
        f"Every prototype that isn't constant, on {experiment.data}, scale {experiment.scale} ({seeds(counts)}): how far the "
        "place in the image says its activation, whatever is shown, against how far being inside an object does (below 0: it "
        f"lights up outside). Means over images; shaded: below the {SEEN} from which a kind is seen."
    )
    middle = data.groupby("variant", sort=False)[["place", "objects"]].agg(lambda values: values.abs().median())
    alt = "Median absolute correlations. " + " ".join(
        f"{experiment.variant(str(row.Index)).label}: place {row.place:.2f}, objects {row.objects:.2f}."
        for row in middle.itertuples()
    )
    columns = ["variant", "seed", "prototype", "place", "objects", "kind", "strength"]
    return Picture("place_against_objects", figure, caption, alt, data[columns])
