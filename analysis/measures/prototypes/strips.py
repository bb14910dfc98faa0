"""Prototypes on images, and how the mask of one instance is assembled from them, for papers; the gallery shows all of them."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from numpy.typing import NDArray

from analysis.figures.picture import Picture
from analysis.figures.style import INK, OKABE_ITO, house_style, new_figure
from analysis.measures.prototypes.assembly import Strip, contributions, strip
from analysis.measures.prototypes.read import Kept, KeptImage, open_kept
from analysis.measures.prototypes.use import prototype_statistics
from analysis.results.experiment import Experiment, MissingResult

DIVERGING = "RdBu"
"""Colours of signed values: red below 0, blue above, white at 0."""
_DIM = 0.7


@house_style
def assembly_strip(
    experiment: Experiment,
    variant: str | None = None,
    seed: int | None = None,
    image_id: int | None = None,
    instance: int = 0,
    terms: int = 4,
) -> Picture:
    """The assembly of one mask: the terms that move it most, the sum after each, the sum of all, sigmoid, crop, and mask.

    Args:
        variant: by default the reference.
        seed: by default the first whose prototypes were kept.
        image_id: by default the first kept image in which something was found.
        instance: index into its detections, the best score first.
        terms: how many terms are drawn, fewer where there are fewer prototypes.

    Raises:
        MissingResult: no prototypes were kept, not of this image, or it has no such instance.
    """
    kept = open_kept(experiment, variant, seed)
    image = _with_instance(kept, image_id, instance)
    steps = strip(image, instance, kept.assembly)
    terms = min(terms, kept.k)
    figure = new_figure(3.4)
    grid = figure.add_gridspec(2, terms + 3, width_ratios=[*[1] * terms, 0.12, 1, 1])
    _draw_terms(figure, grid, steps, image, instance, terms)
    _draw_end(figure, grid, terms + 2, steps, image, instance, kept)
    bar = figure.colorbar(figure.axes[0].images[0], ax=figure.axes, location="bottom", shrink=0.4, aspect=35, label="logits")
    bar.outline.set_edgecolor(INK)  # type: ignore[operator]
    name, score = kept.class_names[image.labels[instance]], image.scores[instance]
    crop = "the crop by the box" if kept.assembly.crop else "which is not cropped"
    caption = (
        f"How the mask of one {name} (score {score:.2f}, image {image.image_id}) comes out of the prototypes of "
        f"{kept.network}; {experiment.data}, scale {experiment.scale}. Top: the {terms} terms coefficient × prototype that "
        f"move it most inside its box; below each, the sum so far. Right: the sum of all {kept.k}, its sigmoid, {crop}, and "
        f"the mask above {kept.assembly.threshold:g} on the image. Signed values in logits."
    )
    data = _strip_data(steps, image, instance, kept)
    first = ", ".join(f"{row.coefficient:+.2f} times prototype {row.prototype}" for row in data.head(terms).itertuples())
    return Picture("assembly_strip", figure, caption, f"The mask of a {name}: {first}, and so on.", data)


@house_style
def prototype_sheet(
    experiment: Experiment, variant: str | None = None, seed: int | None = None, images: int = 6, shown: int = 9
) -> Picture:
    """The most used prototypes (columns) on the first kept images (rows).

    Raises:
        MissingResult: no prototypes of this network were kept.
    """
    kept = open_kept(experiment, variant, seed)
    table = prototype_statistics(experiment, kept.variant, kept.seed).sort_values("use", ascending=False, kind="stable")
    numbers = [int(number) for number in table["prototype"][:shown]]
    chosen = [image for image, _ in zip(kept, range(images), strict=False)]
    ranges = {number: _range([image.prototypes[number] for image in chosen]) for number in numbers}
    size = 7.2 / (len(numbers) + 1)
    figure = new_figure(0.75 + sum(size * image.image.shape[0] / image.image.shape[1] for image in chosen))
    ratios = [image.image.shape[0] / image.image.shape[1] for image in chosen]
    grid = figure.subplots(len(chosen), len(numbers) + 1, squeeze=False, height_ratios=ratios)
    for row, image in zip(grid, chosen, strict=True):
        _plain(row[0], _masked(image, range(len(image))), image)
        for axes, number in zip(row[1:], numbers, strict=True):
            low, high = ranges[number]
            _plain(axes, image.prototypes[number], image, cmap="cividis", vmin=low, vmax=high)
    for axes, number in zip(grid[0, 1:], numbers, strict=True):
        axes.set_title(str(number), fontsize=9, loc="center")
    grid[0, 0].set_title("image", fontsize=9, loc="center")
    bar = figure.colorbar(grid[0, 1].images[0], ax=list(grid.flat), location="bottom", shrink=0.35, aspect=30)
    bar.set_ticks(list(ranges[numbers[0]]), labels=["lowest", "highest"], fontsize=8.5)
    bar.outline.set_edgecolor(INK)  # type: ignore[operator]
    caption = (
        f"The {len(numbers)} most used of {kept.k} prototypes (columns, by number) of {kept.network}, on {len(chosen)} images "
        f"of {experiment.data}, scale {experiment.scale}. Each prototype has one range of colours for all these images. Use: "
        "mean over all kept instances of |coefficient| × mean |activation| in their boxes. Left: the masks found."
    )
    listed = ", ".join(f"{row.prototype} ({row.use:.2f} logits)" for row in table.head(len(numbers)).itertuples())
    return Picture("prototype_sheet", figure, caption, f"Activations on images of the most used prototypes: {listed}.", table)


def _with_instance(kept: Kept, image_id: int | None, instance: int) -> KeptImage:
    if image_id is None:
        found = next((image for image in kept if len(image) > instance), None)
        if found is None:
            raise MissingResult(f"no kept image has {instance + 1} instance(s) with a score of .15 or more")
        return found
    image = kept.image(image_id)
    if not 0 <= instance < len(image):
        raise MissingResult(f"image {image_id} has {len(image)} instances; there is no instance {instance}")
    return image


def _draw_terms(figure: Figure, grid: GridSpec, steps: Strip, image: KeptImage, instance: int, terms: int) -> None:
    limit = max(float(np.abs(part).max()) for part in (steps.terms[:terms], steps.sums[:terms], steps.sums[-1:])) or 1.0
    scale = {"cmap": DIVERGING, "vmin": -limit, "vmax": limit}
    for place, number in enumerate(steps.order[:terms]):
        for row, values in enumerate((steps.terms[place], steps.sums[place])):
            axes = figure.add_subplot(grid[row, place])
            _plain(axes, values, image, **scale)
            factor = f"{image.coefficients[instance, number]:+.2f} × {number}".replace("-", "−")
            axes.set_title((factor, f"sum of {place + 1}" if place else "first term")[row], fontsize=9, loc="center")
    total = figure.add_subplot(grid[0, terms + 1])
    _plain(total, steps.sums[-1], image, **scale)
    total.set_title(f"sum of all {len(steps.order)}", fontsize=9, loc="center")


def _draw_end(figure: Figure, grid: GridSpec, last: int, steps: Strip, image: KeptImage, instance: int, kept: Kept) -> None:
    cropped = figure.add_subplot(grid[1, last - 1])
    probability = figure.add_subplot(grid[0, last])
    for axes, values, title in (
        (probability, steps.probability, "sigmoid"),
        (cropped, steps.cropped, "crop" if kept.assembly.crop else "no crop"),
    ):
        _plain(axes, values, image, cmap="cividis", vmin=0, vmax=1)
        axes.set_title(title, fontsize=9, loc="center")
    mask = figure.add_subplot(grid[1, last])
    _plain(mask, _masked(image, [instance], dim=True), image)
    x1, y1, x2, y2 = image.boxes[instance]
    mask.add_patch(matplotlib.patches.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color=_colour(instance), linewidth=1.2))
    mask.set_title("mask", fontsize=9, loc="center")


def _range(maps: list[NDArray]) -> tuple[float, float]:
    """(lowest, highest), never the same."""
    low, high = min(float(one.min()) for one in maps), max(float(one.max()) for one in maps)
    return low, max(high, low + 1e-9)


def _plain(axes: Axes, values: NDArray, image: KeptImage, **scale) -> None:
    """A map stretched over the image that it covers."""
    height, width = image.image.shape[:2]
    axes.imshow(values, extent=(0, width, height, 0), interpolation="none", **scale)
    axes.set_axis_off()


def _masked(image: KeptImage, instances, dim: bool = False) -> NDArray[np.float64]:
    """(H, W, 3) the image with masks in colour; `dim` greys the rest."""
    shown = image.image.astype(np.float64) / 255
    plain = shown.copy()
    if dim:
        shown = shown + _DIM * (0.5 - shown)
    for instance in instances:
        mask = image.masks[instance]
        shown[mask] = 0.5 * plain[mask] + 0.5 * np.array(matplotlib.colors.to_rgb(_colour(instance)))
    return shown


def _colour(instance: int) -> str:
    return OKABE_ITO[instance % len(OKABE_ITO)]


def _strip_data(steps: Strip, image: KeptImage, instance: int, kept: Kept) -> pd.DataFrame:
    """Every term, the largest first: how much it moves the mask, and its share of all that moves it."""
    weight = contributions(image, kept.assembly.padding)[instance, steps.order]
    total = weight.sum() or 1.0
    return pd.DataFrame(
        {
            "image": image.image_id,
            "instance": instance,
            "prototype": steps.order,
            "coefficient": image.coefficients[instance, steps.order],
            "contribution": weight,
            "share": weight / total,
        }
    )
