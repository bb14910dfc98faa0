"""Where the network of a command comes from, and where it runs: what `predict`, `speed` and `export` share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from experiments.cli.common import results_option
from experiments.prediction import Trained
from experiments.store import Store
from yolact.config import InferenceConfig, MaskRCNNConfig
from yolact.errors import UserError


def source_options(command: Callable) -> Callable:
    """--stage, --result and --results: a trained network."""
    for option in (
        results_option,
        click.option("--result", type=click.Path(path_type=Path), help="A folder with model.json and weights.pt."),
        click.option("--stage", help="Id of a finished train stage, as `yolact status` lists it."),
    ):
        command = option(command)
    return command


def preset_option(command: Callable) -> Callable:
    """--preset, in place of a trained network."""
    return click.option("--preset", "preset_name", help="A published configuration with random weights, such as yolact_base.")(
        command
    )


def device_option(command: Callable) -> Callable:
    """--device, where the network runs."""
    return click.option("--device", help="cpu, cuda or cuda:1.  [default: cuda where there is one, else cpu]")(command)


def one_source(**given: Any) -> dict[str, Any]:
    """The one option, by name, that was given.

    Raises:
        click.UsageError: none was, or several.
    """
    source = {name: value for name, value in given.items() if value is not None}
    if len(source) != 1:
        raise click.UsageError(f"Give exactly one of {', '.join(f'--{name}' for name in given)}.")
    return source


def load_network(source: dict[str, Any], results: Path, device: str | None) -> tuple[Trained, str]:
    """The trained network of a stage or a result folder, and the device it was put on."""
    folder = _train_result(results, source["stage"]) if "stage" in source else source["result"]
    for name in ("model.json", "weights.pt"):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is missing: give the result folder of a train stage")
    place = choose_device(device)
    from experiments.stages import load_trained

    try:
        model, category_ids, class_names = load_trained(folder, place)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{folder / 'model.json'} does not describe a model: {type(error).__name__}: {error}") from None
    return Trained(model, category_ids, class_names), place


def _train_result(results: Path, stage_id: str) -> Path:
    view = Store(results).stage(stage_id)
    if view.kind != "train":
        raise UserError(f"--stage {stage_id} is a {view.kind} stage: give the train stage it builds on")
    return view.result


def from_preset(name: str, device: str | None) -> tuple[Any, InferenceConfig, str]:
    """The network of a preset, weights drawn from a fixed seed; its inference; and the device that was asked for."""
    from yolact.presets import preset

    chosen = preset(name)
    import torch

    from yolact.model import build_model

    torch.manual_seed(0)
    return build_model(chosen.model, chosen.num_classes, pretrained=False), chosen.inference, choose_device(device)


def inference_of(trained: Trained) -> InferenceConfig:
    """The defaults; for Mask R-CNN with its own suppression."""
    network: Any = trained.model
    return InferenceConfig(suppression="standard") if isinstance(network.config, MaskRCNNConfig) else InferenceConfig()


def choose_device(name: str | None) -> str:
    """`name` if it can be used; for None, cuda where there is one, else cpu."""
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name!r} can't be used: {str(error).splitlines()[0]}") from None
    return name
