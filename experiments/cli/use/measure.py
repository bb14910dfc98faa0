"""`yolact evaluate` and `yolact speed`: measure one file of detections, or one network, outside of any experiment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from experiments.cli.use.networks import (
    device_option,
    engine_options,
    load_network,
    one_source,
    preset_options,
    source_options,
)
from yolact.config import SpeedConfig
from yolact.runtime.hardware import usable_cores

if TYPE_CHECKING:
    from yolact.evaluation.coco import Evaluation, Rules

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


@click.command()
@click.option("--annotations", required=True, type=click.Path(path_type=Path), help="Ground truth in COCO's instances format.")
@click.option("--detections", required=True, type=click.Path(path_type=Path), help="Detections in COCO's result format.")
@click.option(
    "--rules",
    type=click.Choice(["coco", "official"]),
    default="coco",
    show_default=True,
    help="COCO's rules, or those of the official code.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Also write metrics, per-class table, curves and matches here.")
def evaluate(annotations: Path, detections: Path, rules: Rules, out: Path | None) -> None:
    """Compute the 12 COCO metrics of a file of detections, for boxes and, if it has them, for masks.

    The evaluation of the official YOLACT code has other rules; for example, it ignores images without objects.

    \b
    Example:
      yolact evaluate --annotations instances_val2017.json --detections detections.json
    """
    from yolact.evaluation.coco import evaluate_files, evaluate_to

    if out:
        evaluations = evaluate_to(out, annotations, detections, rules=rules)
    else:
        evaluations = evaluate_files(annotations, detections, rules=rules)
    click.echo(_metrics_table(evaluations))


@click.command()
@preset_options("random weights")
@source_options
@device_option
@engine_options
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: the cores this process may use]")
@click.option(
    "--repeats", default=100, show_default=True, type=click.IntRange(min=1), help="Images timed, in each of two passes."
)
@click.option("--size", type=Size(), default="640x480", show_default=True, help="Size of the images, in pixels.")
def speed(
    preset_name: str | None,
    weights: Path | None,
    stage: str | None,
    result: Path | None,
    results: Path,
    device: str | None,
    engine: str,
    precision: str,
    threads: int | None,
    repeats: int,
    size: tuple[int, int],
) -> None:
    """Measure latency and frames per second, in total and by stage, on noise images.

    The protocol is the paper's: batch 1, images in memory.

    \b
    Example:
      yolact speed --preset yolact_base --device cuda
      yolact speed --stage train-0123456789abcdef --threads 1 --repeats 20
    """
    source = one_source(preset=preset_name, stage=stage, result=result)
    network = load_network(source, weights, results, device).with_engine(engine, precision)
    from yolact.inference.speed import measure_speed

    images = _noise(min(MOST_SPEED_IMAGES, repeats), size)
    config = SpeedConfig(repeats=repeats)
    record = measure_speed(network.trained.model, images, network.inference, config, network.device, threads or usable_cores())
    click.echo(_speed_table(record))


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
        f"{protocol['device']}, threads: {protocol['threads']}, {protocol['precision']} ({protocol['engine']}), "
        f"torch {protocol['versions']['torch']}",
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
