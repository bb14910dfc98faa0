"""`yolact weights`: the authors' published weights, and conversion between their layout and ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yolact.errors import UserError
from yolact.models.official.published import PUBLISHED, published

if TYPE_CHECKING:
    from yolact.models.base import Model


@click.group()
def weights() -> None:
    """List, fetch and convert published weights.

    \b
    Example: yolact weights get yolact_base
    """


@weights.command("list")
def list_() -> None:
    """List the weights of YOLACT's authors, including those that were never published.

    \b
    Example: yolact weights list
    """
    from experiments.datasets.fetch.pinned import torch_checkpoints

    for entry in PUBLISHED.values():
        if entry.repository is None:
            state = entry.absent
        else:
            here = (torch_checkpoints() / entry.file).is_file()
            state = f"{entry.repository}/{entry.file} ({'here' if here else 'not fetched'})"
        click.echo(f"{entry.name:<23} {entry.what}\n{'':<23} {state}")


@weights.command()
@click.argument("name")
def get(name: str) -> None:
    """Fetch the published weights NAME into torch hub's cache and print their path.

    An interrupted download resumes. The first download records size and SHA-256 beside the file; later ones must match them.
    TORCH_HOME moves the cache, HF_ENDPOINT names a mirror of Hugging Face.

    \b
    Example: yolact weights get yolact_resnet50
    """
    from experiments.datasets.fetch.meter import Meter
    from experiments.datasets.fetch.pinned import fetch, torch_checkpoints

    entry = published(name)
    path = torch_checkpoints() / entry.file
    with Meter() as meter:
        outcome = fetch(entry.url, path, meter)
    said = {
        "downloaded": "downloaded; size and SHA-256 are recorded beside it",
        "verified": "was here, and is what was recorded",
        "recorded": "was here without a record; its size and SHA-256 are recorded now",
    }
    click.echo(f"{name}: {said[outcome]}", err=True)
    click.echo(path)


@weights.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--to", "layout", type=click.Choice(["workbench", "official"]), default="workbench", show_default=True)
@click.option(
    "--preset", "preset_name", help="The network; not needed for a stage's weights.pt, which has a model.json beside it."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File to write; it must not exist.")
def convert(file: Path, layout: str, preset_name: str | None, out: Path) -> None:
    """Convert the weights in FILE, of either layout, to the workbench's or the official code's layout.

    Every tensor must match a parameter of the network in name and shape; the error lists those that don't.

    \b
    Example: yolact weights convert yolact_base_54_800000.pth --preset yolact_base --out base.pt
    """
    if out.exists():
        raise UserError(f"{out}: exists already; choose another --out, or delete it")
    from yolact.models.checkpoint import write_state_dict
    from yolact.models.official.names import to_official

    model: Any = _loaded(file, preset_name)
    state = to_official(model) if layout == "official" else model.state_dict()
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}; make it first")
    write_state_dict(state, out)
    click.echo(f"{out}: {len(state)} tensors in the {layout} layout")


def _loaded(file: Path, preset_name: str | None) -> Model:
    """The network with the file's weights."""
    if preset_name is None:
        if file.name != "weights.pt" or not (file.parent / "model.json").is_file():
            raise UserError(f"{file}: --preset must say which network it belongs to, for no model.json lies beside it")
        from experiments.stages.network import load_trained

        try:
            return load_trained(file.parent, "cpu")[0]
        except (ValueError, KeyError, TypeError) as error:
            described = file.parent / "model.json"
            raise UserError(f"{described} does not describe a model: {type(error).__name__}: {error}") from None
    from yolact.config.presets import preset

    chosen = preset(preset_name)
    from yolact.models.build import build_model
    from yolact.models.checkpoint import load_weights

    model: Any = build_model(chosen.model, chosen.num_classes, pretrained=False)
    load_weights(model, file)
    return model
