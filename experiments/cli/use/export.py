"""`yolact export`: write a network as one file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from experiments.cli.use.networks import load_network, one_source, preset_options, source_options
from yolact.errors import UserError

SUFFIXES = {".onnx": "onnx", ".pt2": "torch"}
"""{file suffix: format}."""


@click.command()
@preset_options("random weights")
@source_options
@click.option("--format", "file_format", type=click.Choice(["onnx", "torch"]), help="[default: by the suffix of --out]")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The file, such as net.onnx or net.pt2.")
def export(
    preset_name: str | None,
    weights: Path | None,
    stage: str | None,
    result: Path | None,
    results: Path,
    file_format: str | None,
    out: Path,
) -> None:
    """Write a one-stage network as an ONNX graph, or as a torch.export program.

    The graph maps pixels to decoded boxes, class probabilities, mask parameters and, for YOLACT, prototypes; docs/export.md
    describes the remaining steps. The file is compared with the network before it gets its final name.

    \b
    Example:
      yolact export --stage train-0123456789abcdef --out net.onnx
      yolact export --preset yolact_base --weights yolact_base_54_800000.pth --out base.onnx
      yolact export --preset yolact_base --out base.pt2
    """
    source = one_source(preset=preset_name, stage=stage, result=result)
    chosen = _format(file_format, out)
    trained = load_network(source, weights, results, "cpu").trained
    model: Any = trained.model
    from yolact.inference.export import export_model
    from yolact.inference.random_weights import settle

    if "preset" in source and weights is None:
        settle(model)

    out.parent.mkdir(parents=True, exist_ok=True)
    differences = export_model(model, out, chosen, category_ids=trained.category_ids, class_names=trained.class_names)
    click.echo(f"{out}: {out.stat().st_size / 2**20:.1f} MiB, agrees with the network to {max(differences.values()):.0e}")


def _format(asked: str | None, out: Path) -> str:
    named = SUFFIXES.get(out.suffix.lower())
    if asked is None and named is None:
        raise UserError(f"--out {out}: the name ends in none of {', '.join(SUFFIXES)}; end it so, or say --format")
    if asked is not None and named not in (None, asked):
        raise UserError(f"--out {out} is the name of another format than --format {asked}; change one, or leave --format out")
    return asked or str(named)
