"""`yolact gallery`: the prototypes of a network, image by image, as a page."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from experiments.cli.common import results_option
from yolact.runtime.units import readable_size


@click.command()
@click.argument("experiment")
@click.option("--scale", default="toy", show_default=True, help="Scale that the experiment was run at.")
@click.option("--variant", help="Variant whose network is shown; by default the experiment's reference.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed; by default the first with stored prototypes.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder; by default RESULTS/reports/EXPERIMENT-SCALE-gallery.")
@results_option
def gallery(experiment: str, scale: str, variant: str | None, seed: int | None, out: Path | None, results: Path) -> None:
    """Write the prototype gallery of EXPERIMENT: a page that opens offline, with prototypes, masks and their assembly.

    It shows the images that the stage `prototypes` stored, and runs nothing. That stage stores 3 images by default.

    \b
    Example:
      yolact run learned --set prototypes.images=300
      yolact gallery learned
      yolact gallery learned --variant untrained --seed 1 --out untrained-gallery
    """
    from analysis.gallery.page import make_gallery

    def progress(done: int, images: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{done} of {images} images", nl=done == images, err=True)

    made = make_gallery(results, experiment, scale, variant, seed, out, progress)
    click.echo(f"{made.index}\n{made.images} images, {made.k} prototypes, {readable_size(made.size)}")
