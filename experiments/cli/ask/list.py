"""`yolact list`"""

from __future__ import annotations

import click
from rich.table import Column, Table

from experiments.cli.common import console as make_console
from experiments.spec.schema import load_scale, load_spec, names
from experiments.spec.variants import seeds_of, variants_of


@click.command("list")
def list_specs() -> None:
    """List the specs and their sizes at each scale.

    \b
    Example:
      yolact list
    """
    scales = [load_scale(name) for name in names("scales")]
    columns = [Column(f"{scale.name}: variants × seeds", justify="right") for scale in scales]
    specs = Table("spec", "title", *columns, box=None, pad_edge=False)
    for name in names("specs"):
        spec = load_spec(name)
        asked = [spec.at(scale) for scale in scales]
        specs.add_row(spec.name, spec.title, *(f"{len(variants_of(each))} × {len(seeds_of(each))}" for each in asked))
    sizes = Table("scale", "title", "data set", box=None, pad_edge=False)
    for scale in scales:
        sizes.add_row(scale.name, scale.scale.title, scale.scale.data)
    console = make_console()
    console.print(specs)
    console.print()
    console.print(sizes)
