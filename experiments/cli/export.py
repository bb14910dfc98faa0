"""`yolact export`: a network as one file that other programs can run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from experiments.cli.networks import load_network, one_source, preset_options, source_options

if TYPE_CHECKING:
    from yolact.model import Model

_BRANCH_SCALE = 0.2
"""Of each residual branch of a ResNet with random weights, so that a hundred layers don't multiply the rounding of float32."""


@click.command()
@preset_options("random weights")
@source_options
@click.option("--format", "file_format", type=click.Choice(["onnx", "torch"]), default="onnx", show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The file, such as net.onnx or net.pt2.")
def export(
    preset_name: str | None,
    weights: Path | None,
    stage: str | None,
    result: Path | None,
    results: Path,
    file_format: str,
    out: Path,
) -> None:
    """Write a YOLACT network as an ONNX graph, or as a program of torch.export.

    The graph goes from pixels to decoded boxes, class probabilities, mask parameters and prototypes; docs/export.md says how to
    go on from there. The file is compared with the network before it takes its name.

    \b
    Example:
      yolact export --stage train-0123456789abcdef --out net.onnx
      yolact export --preset yolact_base --weights yolact_base_54_800000.pth --out base.onnx
      yolact export --preset yolact_base --format torch --out base.pt2
    """
    source = one_source(preset=preset_name, stage=stage, result=result)
    trained = load_network(source, weights, results, "cpu").trained
    model: Any = trained.model
    from yolact.export import export_model
    from yolact.network import YolactModel

    if "preset" in source and weights is None and isinstance(model, YolactModel):
        settle(model)

    out.parent.mkdir(parents=True, exist_ok=True)
    differences = export_model(model, out, file_format, category_ids=trained.category_ids, class_names=trained.class_names)
    click.echo(f"{out}: {out.stat().st_size / 2**20:.1f} MiB, agrees with the network to {max(differences.values()):.0e}")


def settle(model: Model) -> None:
    """Make random weights give outputs of usual size: batch norm takes the statistics of noise."""
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm
    from torchvision.models.resnet import Bottleneck

    from yolact.structures import Target

    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = None  # the plain average
        if isinstance(module, Bottleneck):
            torch.nn.init.constant_(module.bn3.weight, _BRANCH_SCALE)
    noise = torch.rand(1, 3, model.image_size, model.image_size, generator=torch.Generator().manual_seed(1)) * 255
    nothing = torch.zeros(0, dtype=torch.long)
    size = model.image_size
    target = Target(torch.zeros(0, 4), nothing, torch.zeros(0, size, size, dtype=torch.uint8), nothing.bool(), image_id=1)
    with torch.no_grad():
        model.train()
        model.loss(noise, [target])
        model.eval()
