"""Images per second of a preset's predictions at one batch size, by every engine in every precision that the device has."""

from __future__ import annotations

from typing import Any

from benchmarks.common.networks import IMAGE, TINY_IMAGE, drawn, noise
from benchmarks.common.precision import precisions
from benchmarks.common.timing import REPEATS, interleaved, ratio, row
from yolact.config import InferenceConfig
from yolact.config.engine import EngineConfig
from yolact.config.presets import Preset
from yolact.inference.predictor import Predictor

BATCHES, TINY_BATCHES = (1, 8, 32), (2,)
REFERENCE = ("eager", "fp32")
_WARMUP = 5


def throughput(preset: Preset, batch: int, device: str, tiny: bool) -> list[dict[str, Any]]:
    """A row for each engine and precision, which alternate: from uint8 images on the device to masks there at their size.

    `images_per_s` is that of the median; `ratio` says how many times faster than eager fp32, whose convolutions PyTorch rounds
    to TF32 on GPUs that have it.
    """
    model = drawn(preset).to(device)
    images = [image.to(device) for image in noise(batch, TINY_IMAGE if tiny else IMAGE)]
    engines = ("eager", "compiled") if not tiny else ("eager",)
    ways = {
        (engine, precision): preset.inference.replace(engine=EngineConfig(kind=engine, precision=precision))
        for engine in engines
        for precision in precisions(device)
    }
    predictors = {name: Predictor(model, inference.engine) for name, inference in ways.items()}
    runs = {name: lambda name=name: _detections(predictors[name], images, ways[name]) for name in ways}
    detections = {name: run() for name, run in runs.items()}
    names = {" ".join(name): name for name in ways}
    samples = interleaved({text: runs[name] for text, name in names.items()}, 2 if tiny else REPEATS, 0 if tiny else _WARMUP)
    rows = []
    for text, (engine, precision) in names.items():
        times = row(samples[text])
        rate = {"images_per_s": round(1000 * batch / times["median_ms"], 2)}
        faster = ratio(samples[text], samples[" ".join(REFERENCE)])
        head = {"preset": preset.name, "batch": batch, "engine": engine, "precision": precision}
        rows.append({**head, "detections": detections[engine, precision], **times, **rate, **faster})
    return rows


def _detections(predictor: Predictor, images: list, inference: InferenceConfig) -> int:
    """How many detections there are in the first image."""
    return len(predictor.predict(images, inference)[0])
