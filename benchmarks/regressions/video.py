"""What overlapping buys on video: `yolact predict` with decoding and drawing beside the network, against one after the other.

Cost: about ten minutes on two idle cores. To reproduce:

    python -m benchmarks video --out results/reference/cpu

Protocol: `benchmarks/common/timing.py`; one call is `predict_video` on a generated clip of 640 x 480, from the file to the
three files written. Networks: `network` has random weights and draws its best detections, whatever they are; `device` stands
for a network on a device of its own, as it waits DEVICE_MS without using a core and then gives the same detections each time.
Rows: both ways of working by each network, and the parts alone. Times are per frame; `ratio` is the speed against `one by one`.

Writes video.csv and video.png."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from matplotlib.figure import Figure

from analysis.figures.style import house_style, new_figure
from benchmarks.common.figures import grouped
from benchmarks.common.results import write_results
from benchmarks.common.timing import REPEATS, interleaved, ratio, row
from experiments.cli.use.networks import load_network
from yolact.config import InferenceConfig
from yolact.data.video import create_video, open_video
from yolact.inference import predict_video as video_prediction
from yolact.inference.predict_images import Trained
from yolact.inference.predict_video import Video, predict_video
from yolact.models.base import Model
from yolact.structures import Detections

HEIGHT, WIDTH, RATE = 480, 640, 25
DEVICE_MS = 30.0
DETECTIONS = 20
"""Drawn in every frame."""


def write_clip(path: Path, frames: int) -> Path:
    """Coloured squares that move to the right by three pixels per frame."""
    squares = np.random.default_rng(0).integers(0, 256, (HEIGHT // 20, WIDTH // 20, 3), dtype=np.uint8)
    picture = squares.repeat(20, axis=0).repeat(20, axis=1)
    with create_video(path, Fraction(RATE)) as writer:
        for number in range(frames):
            writer.write(np.roll(picture, 3 * number, axis=1), number / RATE)
    return path


class Device(Model):
    """A model that uses no core: what the caller of a network on a GPU sees."""

    image_size = 1
    section_names = ("preprocess",)

    def __init__(self, milliseconds: float) -> None:
        super().__init__()
        self.register_pixels((0.0,) * 3, (1.0,) * 3)
        rng = np.random.default_rng(0)
        centres, radii = rng.uniform(0, (WIDTH, HEIGHT), (DETECTIONS, 2)), rng.uniform(10, 120, DETECTIONS)
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        discs = [np.hypot(columns - x, rows - y) < radius for (x, y), radius in zip(centres, radii, strict=True)]
        corners = np.concatenate([centres - radii[:, None], centres + radii[:, None]], axis=1)
        boxes = corners.clip(0, (WIDTH, HEIGHT) * 2)
        self.seconds = milliseconds / 1000
        self.found = Detections(
            boxes=torch.from_numpy(boxes).float(),
            scores=torch.linspace(0.9, 0.5, DETECTIONS),
            labels=torch.zeros(DETECTIONS, dtype=torch.int64),
            masks=torch.from_numpy(np.stack(discs)),
        )

    def forward(self, images: torch.Tensor, masks: bool = True) -> tuple[()]:
        time.sleep(self.seconds)
        return ()

    def postprocess(self, raw: Any, sizes: Sequence[tuple[int, int]], inference: InferenceConfig) -> list[Detections]:
        return [self.found for _ in sizes]


def one_by_one(call: Callable[[], Any]) -> Callable[[], Any]:
    """`call` without overlap."""

    def plain(items: Iterable[Any], depth: int) -> Iterator[Any]:
        yield from items

    @contextmanager
    def at_once(work: Callable[..., object], depth: int) -> Iterator[Callable[..., object]]:
        yield work

    def alone() -> Any:
        with patch.object(video_prediction, "ahead", plain), patch.object(video_prediction, "behind", at_once):
            return call()

    return alone


def measure(
    trained: Trained, inference: InferenceConfig, device: str, frames: int, repeats: int, milliseconds: float = DEVICE_MS
) -> list[dict[str, Any]]:
    """The rows of the table, times per frame."""
    networks = {"network": (trained, device), "device": (_stand_in(milliseconds), "cpu")}
    with tempfile.TemporaryDirectory() as folder:
        video = Video(write_clip(Path(folder) / "clip.mp4", frames), "found")

        def overlapped(network: Trained, place: str) -> Any:
            return predict_video(network, video, Path(folder), inference, 0.0, place, lambda frames, expected, name: frames)

        candidates: dict[tuple[str, str], Callable[[], Any]] = {
            ("parts", "decoding"): partial(_decode, video.path),
            ("parts", "decoding, drawing and writing"): one_by_one(partial(overlapped, _stand_in(0.0), "cpu")),
        }
        for name, network in networks.items():
            candidates[name, "one by one"] = one_by_one(partial(overlapped, *network))
            candidates[name, "overlapped"] = partial(overlapped, *network)
        samples = interleaved({": ".join(names): call for names, call in candidates.items()}, repeats, warmup=1)
    per_frame = {names: [time / frames for time in samples[": ".join(names)]] for names in candidates}
    return [_row(name, way, per_frame, frames) for name, way in candidates]


def _row(name: str, way: str, per_frame: Mapping[tuple[str, str], list[float]], frames: int) -> dict[str, Any]:
    times = row(per_frame[name, way])
    found = {
        "what": name,
        "way": way,
        "frames": frames,
        **times,
        "frames_per_second": float(f"{1000 / times['median_ms']:.4g}"),
    }
    return found | (ratio(per_frame[name, way], per_frame[name, "one by one"]) if way == "overlapped" else {})


def _stand_in(milliseconds: float) -> Trained:
    return Trained(Device(milliseconds), [1], ["disc"])


def _decode(path: Path) -> None:
    with open_video(path) as reader:
        for _ in reader:
            pass


@house_style
def draw(rows: Sequence[Mapping[str, Any]], hardware: str) -> Figure:
    """Both ways of working beside each other, for each network."""
    words = {"network": "network", "device": "stand-in for\na device"}
    figure = new_figure(2.4)
    axes = figure.subplots()
    grouped(axes, [{**each, "of": words[each["what"]]} for each in rows if each["what"] in words], "of", "way")
    axes.set_xlabel("time per frame (ms, median and quartiles)")
    figure.suptitle(f"Video of {WIDTH} x {HEIGHT}, {DETECTIONS} detections drawn in each frame; {hardware}", fontsize=9)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write where --out says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="yolact_resnet50", help="network, with random weights")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--frames", type=int, default=10, help="of the clip")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--out", type=Path, help="folder for the table and the figure")
    asked = parser.parse_args(arguments)
    network = load_network({"preset": asked.preset}, None, Path("results"), asked.device)
    inference = network.inference.replace(score_threshold=0.0, max_detections=DETECTIONS)
    rows = measure(network.trained, inference, network.device, asked.frames, asked.repeats)
    for each in rows:
        print("  ".join(f"{name} {value}" for name, value in each.items()), flush=True)
    write_results(asked.out, "video", [{"preset": asked.preset, **each} for each in rows], draw, asked.device)
