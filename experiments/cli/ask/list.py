"""`yolact list`"""

from __future__ import annotations

import click
from rich.table import Table

from experiments.cli.common import console as make_console
from experiments.spec.schema import load_scale, load_spec, names
from experiments.spec.variants import seeds_of, variants_of


@click.command("list")
def list_specs() -> None:
    """The questions that can be asked, and at which scales.

    \b
    Example:
      yolact list
    """
    scales = [load_scale(name) for name in names("scales")]
    specs = Table("spec", "question", *(f"{scale.name}: variants × seeds" for scale in scales), box=None, pad_edge=False)
    for name in names("specs"):
        spec = load_spec(name)
        counts = [f"{len(variants_of(spec, scale))} × {len(seeds_of(spec, scale))}" for scale in scales]
        specs.add_row(spec.name, spec.spec.title, *counts)
    sizes = Table("scale", "what", "data set", box=None, pad_edge=False)
    for scale in scales:
        sizes.add_row(scale.name, scale.scale.title, scale.scale.data)
    console = make_console()
    console.print(specs)
    console.print()
    console.print(sizes)
