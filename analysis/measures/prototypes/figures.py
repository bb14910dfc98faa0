"""What the prototypes of a network look like, and the masks that they make."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.figures.picture import Picture
from analysis.figures.style import INK, OKABE_ITO, house_style, new_figure
from analysis.results.contents import Arrays, MissingResult, opened
from analysis.results.experiment import Experiment, every, first

SHOWN = 16
"""Prototypes drawn at most, the most used first."""
DETECTIONS = 12
"""Masks drawn per image at most, the best first."""
_RATIO = 2.1
"""Width of the mosaic over the width of the image beside it."""
SCORE = 0.3
"""Detections below this score are left out of the picture."""


def prototype_file(experiment: Experiment, variant: str) -> tuple[int, Path]:
    """(seed, path) of the first stored `prototypes.npz` of a variant that holds prototypes.

    Raises:
        MissingResult: there is none.
    """
    return first(experiment, variant, _with_prototypes, f"no prototypes of {experiment.variant(variant).label} were kept")


def _with_prototypes(experiment: Experiment, variant: str, seed: int) -> Path:
    path = experiment.path(variant, seed, "prototypes", "prototypes.npz")
    with opened(path) as arrays:
        if "0_coefficients" not in arrays:
            raise MissingResult("it makes its masks without linear combinations of prototypes")
    return path


def best_prototype_variant(experiment: Experiment, table: pd.DataFrame) -> str:
    """The variant with the best mask AP among those whose prototypes were kept.

    Args:
        table: of `tables.summary`.

    Raises:
        MissingResult: none were kept.
    """
    rows = table[table["metric"] == "mask_AP"].sort_values("mean", ascending=False, na_position="last")
    best, *_ = every(experiment, _with_prototypes, "no network's prototypes were kept", rows["variant"])
    return best[0]


@house_style
def prototypes(experiment: Experiment, variant: str) -> Picture:
    """For each stored image: the image with its assembled masks, and the most used prototypes on it.

    Raises:
        MissingResult: no prototypes of this variant were kept.
    """
    seed, path = prototype_file(experiment, variant)
    with opened(path) as arrays:
        images = len(arrays["image_ids"])
        use = _use(arrays, images)
        order = np.argsort(-use, kind="stable")[:SHOWN]
        figure = new_figure(0.7 + 2.35 * images)
        grid = figure.subplots(images, 2, squeeze=False, width_ratios=[1, _RATIO])
        for index in range(images):
            _draw_masks(grid[index, 0], arrays, index)
            _draw_prototypes(grid[index, 1], arrays[f"{index}_prototypes"], order)
            grid[index, 0].set_title(f"image {arrays['image_ids'][index]}", fontsize=9.5)
        ids = [int(one) for one in arrays["image_ids"]]
    grid[0, 1].set_title("prototypes, most used first", fontsize=9.5)
    _colour_scale(figure, list(grid[:, 1]))
    k = len(use)
    every = f"all k = {k} prototypes" if k > 1 else "the only prototype"
    shown = f"the {len(order)} most used of k = {k} prototypes" if k > len(order) else every
    caption = (
        f"{experiment.variant(variant).label}, seed {seed}, on {images} images of {experiment.data}, scale {experiment.scale}. "
        f"Left: assembled masks with score ≥ {SCORE} (at most {DETECTIONS}), boxes in the same colour. Right: {shown} with "
        "their numbers, sorted by use (mean |coefficient| over the detections of these images), each scaled to its own range "
        "on the image."
    )
    alt = f"Prototype activations of {experiment.variant(variant).label} on images {ids} beside the masks assembled from them."
    data = pd.DataFrame({"prototype": range(k), "use": use}).sort_values("use", ascending=False, kind="stable")
    return Picture("prototypes", figure, caption, alt, data)


def _use(arrays: Arrays, images: int) -> NDArray[np.float64]:
    """(k,) mean absolute coefficient over all stored detections; zeros where nothing was detected."""
    coefficients = np.concatenate([arrays[f"{index}_coefficients"] for index in range(images)])
    return np.abs(coefficients).mean(axis=0) if len(coefficients) else np.zeros(coefficients.shape[1])


def _draw_masks(axes: Axes, arrays: Arrays, index: int) -> None:
    image = arrays[f"{index}_image"].astype(np.float64) / 255
    scores = arrays[f"{index}_scores"]
    chosen = [n for n in np.argsort(-scores, kind="stable") if scores[n] >= SCORE][:DETECTIONS]
    for place, number in enumerate(chosen):
        colour = np.array(matplotlib.colors.to_rgb(OKABE_ITO[place % len(OKABE_ITO)]))
        mask = arrays[f"{index}_masks"][number]
        image[mask] = 0.5 * image[mask] + 0.5 * colour
        x1, y1, x2, y2 = arrays[f"{index}_boxes"][number]
        axes.add_patch(matplotlib.patches.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color=colour, linewidth=1.2))
    axes.imshow(image, interpolation="none")
    axes.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
    axes.set_axis_off()
    if not chosen:
        axes.text(0.5, -0.04, f"no detection ≥ {SCORE}", transform=axes.transAxes, ha="center", va="top", fontsize=9)


def _draw_prototypes(axes: Axes, maps: NDArray[np.float32], order: NDArray[np.intp]) -> None:
    """The maps (k, h, w) named by `order` as one mosaic."""
    columns = max(range(1, len(order) + 1), key=lambda c: min(_RATIO / c, 1 / -(-len(order) // c)))
    rows = -(-len(order) // columns)
    height, width = maps.shape[1:]
    gap = max(1, width // 20)
    mosaic = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for place, number in enumerate(order):
        top, left = (place // columns) * (height + gap), (place % columns) * (width + gap)
        one = maps[number].astype(np.float64)
        mosaic[top : top + height, left : left + width] = (one - one.min()) / max(np.ptp(one), 1e-12)
        axes.text(left + 0.06 * width, top + 0.06 * height, str(number), fontsize=7, color="white", va="top",
                  bbox={"facecolor": "#000000aa", "edgecolor": "none", "pad": 1.2})  # fmt: skip
    axes.imshow(mosaic, cmap="cividis", vmin=0, vmax=1, interpolation="none")
    axes.set_axis_off()


def _colour_scale(figure: Figure, axes: list[Axes]) -> None:
    bar = figure.colorbar(axes[0].images[0], ax=axes, location="bottom", shrink=0.4, aspect=30, ticks=[0, 1])
    bar.ax.set_xticklabels(["lowest", "highest"], fontsize=8.5)
    bar.outline.set_edgecolor(INK)
