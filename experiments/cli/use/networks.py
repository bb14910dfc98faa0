"""Options of `predict`, `speed` and `export` for the source of a network, its device and its engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import click

from experiments.cli.common import results_option
from experiments.store.folder import Store
from yolact.config import InferenceConfig
from yolact.errors import UserError
from yolact.inference.predict_images import Trained


def source_options(command: Callable) -> Callable:
    """--stage, --result and --results: a trained network."""
    for option in (
        results_option,
        click.option("--result", type=click.Path(path_type=Path), help="A folder with model.json and weights.pt."),
        click.option("--stage", help="Id of a finished train stage, as `yolact status` lists it."),
    ):
        command = option(command)
    return command


def preset_options(without_weights: str | None) -> Callable[[Callable], Callable]:
    """--preset and --weights, instead of a trained network.

    Args:
        without_weights: meaning of a preset without weights; None if weights are required.
    """
    alone = f"; {without_weights} without --weights" if without_weights else "; needs --weights"

    def add(command: Callable) -> Callable:
        for option in (
            click.option("--weights", type=click.Path(path_type=Path), help="The preset's weights, in either layout."),
            click.option("--preset", "preset_name", help=f"A published configuration, such as yolact_base{alone}."),
        ):
            command = option(command)
        return command

    return add


def device_option(command: Callable) -> Callable:
    """--device, the network's device."""
    return click.option("--device", help="cpu, cuda or cuda:1.  [default: cuda if available, else cpu]")(command)


def engine_options(command: Callable) -> Callable:
    """--engine and --precision, the arguments of `with_engine`."""
    for option in (
        click.option(
            "--precision",
            type=click.Choice(("fp32", "bf16", "fp16")),
            default="fp32",
            show_default=True,
            help="Precision of the convolutions; fp16 only on a GPU.",
        ),
        click.option(
            "--engine",
            type=click.Choice(("eager", "compiled")),
            default="eager",
            show_default=True,
            help="compiled: faster, after minutes of compiling for a network's first use on this machine.",
        ),
    ):
        command = option(command)
    return command


def one_source(**given: Any) -> dict[str, Any]:
    """{name: value} of the one given option.

    Raises:
        click.UsageError: none or several were given.
    """
    source = {name: value for name, value in given.items() if value is not None}
    if len(source) != 1:
        raise click.UsageError(f"Give exactly one of {', '.join(f'--{name}' for name in given)}.")
    return source


@dataclass(frozen=True)
class Network:
    """A network in eval mode on its device."""

    trained: Trained
    inference: InferenceConfig
    """The preset's; else the defaults for the model's kind."""
    device: str
    """The device of its parameters."""

    def with_engine(self, kind: str, precision: str) -> Self:
        """A copy with another engine and precision."""
        return replace(self, inference=self.inference.replace(engine={"kind": kind, "precision": precision}))


def load_network(source: dict[str, Any], weights: Path | None, results: Path, device: str | None) -> Network:
    """Load the network of a preset, a stage or a result folder to a device.

    Args:
        source: from `one_source`.
        weights: for a preset; None draws them from a fixed seed.

    Raises:
        UserError: the network or device does not exist, or the weights don't fit.
        click.UsageError: weights were given for a network that has its own.
    """
    if "preset" in source:
        return _of_preset(source["preset"], weights, device)
    if weights is not None:
        raise click.UsageError("--weights belongs to --preset; a stage has its own.")
    folder = _train_result(results, source["stage"]) if "stage" in source else source["result"]
    for name in ("model.json", "weights.pt"):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is missing: give the result folder of a train stage")
    place = choose_device(device)
    from experiments.stages.network import load_trained

    try:
        model, category_ids, class_names = load_trained(folder, place)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{folder / 'model.json'} does not describe a model: {type(error).__name__}: {error}") from None
    return Network(Trained(model, category_ids, class_names), _inference_of(model), place)


def _train_result(results: Path, stage_id: str) -> Path:
    view = Store(results).stage(stage_id)
    if view.kind != "train":
        raise UserError(f"--stage {stage_id} is a {view.kind} stage: give the train stage it builds on")
    return view.result


def _of_preset(name: str, weights: Path | None, device: str | None) -> Network:
    from yolact.config.presets import preset

    chosen = preset(name)
    place = choose_device(device)
    import torch

    from yolact.models.build import build_model
    from yolact.models.checkpoint import load_weights

    torch.manual_seed(0)
    model = build_model(chosen.model, chosen.num_classes, pretrained=False)
    if weights is not None:
        load_weights(model, weights)
    trained = Trained(model.to(place).eval(), list(chosen.categories), list(chosen.categories.values()))
    return Network(trained, chosen.inference, place)


def _inference_of(model: Any) -> InferenceConfig:
    return InferenceConfig(**model.config.inference_defaults)


def choose_device(name: str | None) -> str:
    """`name` if it can be used; for None, cuda if available, else cpu.

    Raises:
        UserError: the named device can't be used.
    """
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name!r} can't be used: {str(error).splitlines()[0]}") from None
    return name
