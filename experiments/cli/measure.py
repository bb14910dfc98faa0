"""`yolact predict`, `evaluate` and `speed`: one trained network, or one file of detections, outside of any experiment."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from experiments.prediction import Trained, find_pictures, predict_pictures
from experiments.store import Store
from yolact.config import InferenceConfig, MaskRCNNConfig, SpeedConfig
from yolact.errors import UserError
from yolact.hardware import usable_cores

if TYPE_CHECKING:
    from yolact.evaluation import Evaluation

MOST_SPEED_IMAGES = 8
MAX_SIDE = 16_384


class Size(click.ParamType):
    """WIDTHxHEIGHT in pixels, such as 640x480."""

    name = "widthxheight"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        width, times, height = value.lower().partition("x")
        sides = (width, height)
        if not times or not all(side.isascii() and side.isdigit() and 1 <= int(side) <= MAX_SIDE for side in sides):
            self.fail(f"{value!r} is not a size such as 640x480, with sides from 1 to {MAX_SIDE}", param, ctx)
        return int(width), int(height)


def trained_options(command: Callable) -> Callable:
    """Where a trained network comes from, and where it runs."""
    for option in (
        click.option("--device", help="cpu, cuda or cuda:1.  [default: cuda where there is one, else cpu]"),
        click.option(
            "--results", default="results", show_default=True, type=click.Path(path_type=Path), help="The results folder."
        ),
        click.option("--result", type=click.Path(path_type=Path), help="A folder with model.json and weights.pt."),
        click.option("--stage", help="Id of a finished train stage, as `yolact status` lists it."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@trained_options
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for overlays and detections.json.")
@click.option("--threshold", default=0.3, show_default=True, type=click.FloatRange(0, 1), help="Least score drawn and written.")
def predict(
    images: tuple[Path, ...],
    stage: str | None,
    result: Path | None,
    results: Path,
    device: str | None,
    out: Path,
    threshold: float,
) -> None:
    """Find instances in IMAGES: files, or folders of files.

    Writes each image with masks, boxes, names and scores drawn on it, detections.json in COCO's result format, and images.json,
    which says what its ids stand for.

    \b
    Example:
      yolact predict photos/ --stage train-0123456789abcdef --out found/
    """
    pictures = find_pictures(images)
    trained, place = _load(_one_source(stage=stage, result=result), results, device)
    inference = _inference(trained)
    from rich.console import Console
    from rich.progress import track

    progress = track(pictures, "Looking", console=Console(stderr=True))
    count, unreadable = predict_pictures(trained, progress, out, inference, threshold, place)
    click.echo(f"{count} detections in {len(pictures) - len(unreadable)} images: {out / 'detections.json'}")
    if unreadable:
        raise UserError(f"{len(unreadable)} of {len(pictures)} images could not be read:\n  " + "\n  ".join(unreadable))


@click.command()
@click.option("--annotations", required=True, type=click.Path(path_type=Path), help="Ground truth in COCO's instances format.")
@click.option("--detections", required=True, type=click.Path(path_type=Path), help="Detections in COCO's result format.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write metrics, per-class table, curves and matches here.")
def evaluate(annotations: Path, detections: Path, out: Path | None) -> None:
    """The 12 COCO numbers of a file of detections, by masks and by boxes where it has them.

    \b
    Example:
      yolact evaluate --annotations instances_val2017.json --detections detections.json
    """
    from yolact.evaluation import evaluate_files, evaluate_to

    evaluations = evaluate_to(out, annotations, detections) if out else evaluate_files(annotations, detections)
    click.echo(_metrics_table(evaluations))


@click.command()
@click.option("--preset", "preset_name", help="A published configuration with random weights, such as yolact_base.")
@trained_options
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: the cores this process may use]")
@click.option(
    "--repeats", default=100, show_default=True, type=click.IntRange(min=1), help="Images timed, in each of two passes."
)
@click.option("--size", type=Size(), default="640x480", show_default=True, help="Of the images, in pixels.")
def speed(
    preset_name: str | None,
    stage: str | None,
    result: Path | None,
    results: Path,
    device: str | None,
    threads: int | None,
    repeats: int,
    size: tuple[int, int],
) -> None:
    """Latency and frames per second by stage, on noise, under the paper's protocol: batch 1, images in memory.

    \b
    Example:
      yolact speed --preset yolact_base --device cuda
      yolact speed --stage train-0123456789abcdef --threads 1 --repeats 20
    """
    source = _one_source(preset=preset_name, stage=stage, result=result)
    if "preset" in source:
        model, inference, place = _from_preset(source["preset"], device)
    else:
        trained, place = _load(source, results, device)
        model, inference = trained.model, _inference(trained)
    from yolact.speed import measure_speed

    images = _noise(min(MOST_SPEED_IMAGES, repeats), size)
    record = measure_speed(model, images, inference, SpeedConfig(repeats=repeats), place, threads or usable_cores())
    click.echo(_speed_table(record))


def _one_source(**given: Any) -> dict[str, Any]:
    source = {name: value for name, value in given.items() if value is not None}
    if len(source) != 1:
        raise click.UsageError(f"Give exactly one of {', '.join(f'--{name}' for name in given)}.")
    return source


def _load(source: dict[str, Any], results: Path, device: str | None) -> tuple[Trained, str]:
    """The trained network of a stage or a result folder, and the device it was put on."""
    folder = _train_result(results, source["stage"]) if "stage" in source else source["result"]
    for name in ("model.json", "weights.pt"):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is missing: give the result folder of a train stage")
    place = _device(device)
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


def _from_preset(name: str, device: str | None) -> tuple[Any, InferenceConfig, str]:
    from yolact.presets import preset

    chosen = preset(name)
    import torch

    from yolact.model import build_model

    torch.manual_seed(0)
    return build_model(chosen.model, chosen.num_classes, pretrained=False), chosen.inference, _device(device)


def _inference(trained: Trained) -> InferenceConfig:
    """The defaults; for Mask R-CNN with its own suppression."""
    network: Any = trained.model
    return InferenceConfig(suppression="standard") if isinstance(network.config, MaskRCNNConfig) else InferenceConfig()


def _device(name: str | None) -> str:
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name!r} can't be used: {str(error).splitlines()[0]}") from None
    return name


def _noise(count: int, size: tuple[int, int]) -> list[Any]:
    import torch

    width, height = size
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator) for _ in range(count)]


def _metrics_table(evaluations: list[Evaluation]) -> str:
    header = "".join(f"{evaluation.iou_type:>8}" for evaluation in evaluations)
    rows = [
        f"{name:<6}" + "".join(f"{evaluation.metrics[name]:>8.3f}" for evaluation in evaluations)
        for name in evaluations[0].metrics
    ]
    return "\n".join([" " * 6 + header, *rows])


def _speed_table(record: dict[str, Any]) -> str:
    protocol, latency, fps = record["protocol"], record["latency_ms"], record["fps"]
    line = lambda name, part: f"{name:<12}{part['median']:>10.2f}{part['p25']:>10.2f}{part['p75']:>10.2f}"  # noqa: E731
    notes = [
        f"{protocol['device']}, threads: {protocol['threads']}, {protocol['precision']}, torch {protocol['versions']['torch']}",
        f"batch 1, input {protocol['image_size']} px, {protocol['suppression']} NMS, {protocol['warmup']} images of warm-up, "
        f"{protocol['repeats']} timed end to end, then again by stage",
        f"inside the clock: {', '.join(protocol['inside'])}",
        f"outside: {', '.join(protocol['outside'])}",
        f"detections per image (median): {protocol['detections_per_image']:g}",
    ]
    if not protocol["detections_per_image"]:
        notes.append("nothing was found in the noise, so NMS and assembly take less here than on real images")
    return "\n".join(
        [
            f"{'':<12}{'median':>10}{'25 %':>10}{'75 %':>10}",
            line("latency ms", latency),
            line("fps", fps),
            "",
            *(line(name, part) for name, part in record["stages_ms"].items()),
            "",
            *notes,
        ]
    )
