"""`yolact predict`: run a network on images and video."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from experiments.cli.use.networks import (
    Network,
    device_option,
    engine_options,
    load_network,
    one_source,
    preset_options,
    source_options,
)
from yolact.errors import UserError
from yolact.inference.predict_images import Picture, find_pictures, predict_pictures, refuse_to_overwrite
from yolact.inference.predict_video import Video, find_videos, predict_video


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@preset_options(None)
@source_options
@device_option
@engine_options
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for overlays and detections.json.")
@click.option(
    "--threshold",
    default=0.3,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Minimum score of drawn and written detections.",
)
def predict(
    files: tuple[Path, ...],
    preset_name: str | None,
    weights: Path | None,
    stage: str | None,
    result: Path | None,
    results: Path,
    device: str | None,
    engine: str,
    precision: str,
    out: Path,
    threshold: float,
) -> None:
    """Segment instances in FILES: images, folders of images, and videos.

    Writes each image with masks, boxes, names and scores drawn on it, detections.json in COCO's result format, and images.json,
    which maps image ids to files. For clip.mov it writes clip.mp4 with the same overlays, clip.detections.json, whose image
    ids are frame numbers, and clip.images.json, which gives each frame's time.

    \b
    Example:
      yolact predict photos/ clip.mov --stage train-0123456789abcdef --out found/
      yolact predict photos/ --preset yolact_base --weights yolact_base_54_800000.pth --out found/
    """
    videos, others = find_videos(files)
    pictures = find_pictures(others)
    sources = [picture.path for picture in pictures] + [video.path for video in videos]
    refuse_to_overwrite(sources, [out / picture.overlay for picture in pictures] + [video.results(out)[0] for video in videos])
    source = one_source(preset=preset_name, stage=stage, result=result)
    if "preset" in source and weights is None:
        raise click.UsageError("--preset needs --weights FILE; `yolact weights get` fetches published ones.")
    network = load_network(source, weights, results, device).with_engine(engine, precision)
    faults: list[str] = []
    if pictures:
        faults += _pictures(network, pictures, out, threshold)
    for video in videos:
        faults += _video(network, video, out, threshold)
    if faults:
        raise UserError("\n".join(faults))


def _pictures(network: Network, pictures: list[Picture], out: Path, threshold: float) -> list[str]:
    watched = _watch(pictures, len(pictures), "Looking")
    count, unreadable = predict_pictures(network.trained, watched, out, network.inference, threshold, network.device)
    click.echo(f"{count} detections in {len(pictures) - len(unreadable)} images: {out / 'detections.json'}")
    if not unreadable:
        return []
    return [f"{len(unreadable)} of {len(pictures)} images could not be read:\n  " + "\n  ".join(unreadable)]


def _video(network: Network, video: Video, out: Path, threshold: float) -> list[str]:
    """Predict one video; return its faults, which do not stop the next video."""
    try:
        found = predict_video(network.trained, video, out, network.inference, threshold, network.device, _watch)
    except UserError as error:
        return [str(error)]
    click.echo(f"{found.detections} detections in {found.frames} frames, {found.rate:.1f} per second: {video.results(out)[0]}")
    return [found.fault] if found.fault else []


def _watch(items: Iterable[Any], total: int | None, what: str) -> Iterable[Any]:
    from rich.console import Console
    from rich.progress import track

    return track(items, what, total=total, console=Console(stderr=True))
