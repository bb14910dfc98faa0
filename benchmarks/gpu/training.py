"""Images per second in training by `yolact.training.loop.train`: transfer, forward, backward and optimiser, no loader."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch

from benchmarks.common.timing import REPEATS, row
from benchmarks.training.cases import batch_of
from yolact.config.presets import Preset
from yolact.models.build import build_model
from yolact.training.feed import Batch
from yolact.training.loop import train

PRESETS, BATCHES = ("yolact_resnet50", "yolact_base"), (8, 32, 128)
TINY_PRESETS, TINY_BATCHES = ("tiny_yolact",), (2,)
_WARMUP = 5


def ways(batch: int) -> list[tuple[str, bool]]:
    """(precision, `training.compile`) to measure at one batch size; compiled at the paper's alone, since it takes a minute."""
    return [("fp32", False), ("bf16", False), *([("bf16", True)] if batch == BATCHES[0] else [])]


def training(preset: Preset, batch: int, precision: str, compiled: bool, device: str, tiny: bool) -> dict[str, Any]:
    """One row. Made-up images with seven objects each, the same every step, in pinned memory as the loader leaves them; a step
    lasts from asking for a batch to asking for the next, which every step does at the same point.

    `images_per_s` is that of the median; fp32 convolutions round to TF32 where PyTorch lets them.
    """
    torch.manual_seed(0)
    warmup, repeats = (1, 2) if tiny else (_WARMUP, REPEATS)
    data = _pinned(batch_of(batch, preset.model.image_size, preset.num_classes), device)
    moments: list[int] = []

    def batches(start: int) -> Iterator[Any]:
        for _ in range(warmup + repeats + 1):
            moments.append(time.perf_counter_ns())
            yield data

    # at a low learning rate random weights stay finite
    config = preset.training.replace(
        iterations=warmup + repeats + 1,
        batch_size=batch,
        precision=precision,
        compile=compiled,
        lr=1e-5,
        warmup_iterations=0,
        warmup_lr=1e-5,
    )
    train(build_model(preset.model, preset.num_classes, pretrained=False), batches, config, device=device)
    steps = [(after - before) / 1e6 for before, after in pairwise(moments)][warmup:]
    times = row(steps)
    rate = {"images_per_s": round(1000 * batch / times["median_ms"], 2)}
    return {"preset": preset.name, "batch": batch, "precision": precision, "compiled": compiled, **times, **rate}


def _pinned(batch: Batch, device: str) -> Batch:
    images, targets = batch
    return (images.pin_memory(), [target.pin_memory() for target in targets]) if device == "cuda" else batch
