"""Latency and frames per second under the paper's protocol, with a record that says what was timed.

Batch 1, images in the device's memory before the clock starts. First a pass end to end, without a synchronisation inside; then
the same images again with one around every section, which shows where the time goes but hides whatever overlaps.
Source: paper table 1; reference `eval.py` --benchmark, which leaves resizing and normalising out of its clock, as loading.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torchvision
from torch import Tensor

from yolact.config.evaluation import SpeedConfig
from yolact.config.inference import InferenceConfig
from yolact.errors import UserError
from yolact.inference.predictor import Predictor
from yolact.runtime.hardware import device_name, hardware
from yolact.runtime.memory import keep_freed_memory
from yolact.runtime.profiling import SectionClock, profiled, section, synchronizer
from yolact.structures import Detections

if TYPE_CHECKING:
    from yolact.models.base import Model

COPY, OTHER = "copy", "other"
"""Parts of `stages_ms` beside the model's own sections: copying results to the host, and what no section brackets."""

_OUTSIDE = ("reading and decoding the image", "copying the image to the device")


class SpeedError(UserError):
    """A measurement that can't be made as asked."""


def measure_speed(
    model: Model,
    images: Sequence[Tensor],
    inference: InferenceConfig,
    config: SpeedConfig,
    device: torch.device | str,
    threads: int,
) -> dict[str, Any]:
    """Time `Predictor.predict` on images taken in turn.

    The model is moved to `device` and timed in inference mode; it comes back in the mode it had. PyTorch's thread count comes
    back too; that the process keeps the memory it frees (`yolact.runtime.memory`) stays.

    Args:
        images: (3, H, W) uint8 RGB tensors of any sizes.
        inference: thresholds, suppression, crop.
        config: warm-up, repeats, how many results are copied to the host inside the clock.
        device: such as "cpu" or "cuda:0".
        threads: of PyTorch's operators on the CPU.

    Returns:
        What `speed.json` holds (`docs/architecture.md`). `stages_ms` has the model's sections, then `copy` and `other`.

    Raises:
        SpeedError: no images, or a device that isn't there.
        EngineError: the engine doesn't run this model, or not on this device.
    """
    device, engine = _checked(images, device), inference.engine
    keep_freed_memory()
    was_training, threads_before = model.training, torch.get_num_threads()
    model.to(device)
    torch.set_num_threads(threads)
    try:
        loaded = [image.to(device) for image in images]
        once = _Once(Predictor(model, engine), inference, config.copied_detections, device)
        turns = [loaded[index % len(loaded)] for index in range(config.repeats)]
        for index in range(config.warmup):
            once(loaded[index % len(loaded)])
        totals = [once.timed(image) for image in turns]
        stages = [once.timed_by_stage(image) for image in turns]
    finally:
        torch.set_num_threads(threads_before)
        model.train(was_training)
    detections = [count for _, count in totals]
    names = once.predictor.section_names
    return _record(names, [total for total, _ in totals], stages) | {
        "protocol": {
            "batch": 1,
            "precision": engine.precision,
            "engine": engine.kind,
            "threads": threads,
            "device": device_name(str(device)),
            "device_type": device.type,
            "inside": _inside(names, config),
            "outside": list(_OUTSIDE),
            "warmup": config.warmup,
            "repeats": config.repeats,
            "image_size": model.image_size,
            "images": len(images),
            "image_sizes": sorted({(int(image.shape[-2]), int(image.shape[-1])) for image in images}),
            "suppression": inference.suppression,
            "detections_per_image": float(np.median(detections)),
            "clock": "time.perf_counter_ns",
            "end_to_end": "one synchronisation after the last copy",
            "stages": "a second pass, synchronised around every section",
            "tf32": device.type == "cuda" and rounds_to_tf32(),
            "hardware": hardware(),
            "versions": versions(),
        },
        "samples_ms": [total for total, _ in totals],
    }


def versions() -> dict[str, str | None]:
    """Versions of what a latency depends on."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": str(torchvision.__version__),
        "cuda": torch.version.cuda,
        "cudnn": str(torch.backends.cudnn.version()) if torch.backends.cudnn.is_available() else None,
    }


def rounds_to_tf32() -> bool:
    """Whether float32 convolutions or matrix products on a card round their inputs to TF32; by default convolutions do."""
    backends: Any = torch.backends  # whose types don't know `conv`
    return "tf32" in (backends.cudnn.conv.fp32_precision, backends.cuda.matmul.fp32_precision)


class _Once:
    """One image through the model and its first results to the host: everything inside the clock."""

    def __init__(self, predictor: Predictor, inference: InferenceConfig, copied: int, device: torch.device) -> None:
        self.predictor, self.inference, self.copied, self.device = predictor, inference, copied, device
        self.wait = synchronizer(device)

    @torch.inference_mode()
    def __call__(self, image: Tensor) -> Detections:
        found = self.predictor.predict([image], self.inference)[0]
        with section(COPY):
            for part in (found.boxes, found.scores, found.labels, found.masks):
                if part is not None:
                    part[: self.copied].cpu()
        self.wait()
        return found

    def timed(self, image: Tensor) -> tuple[float, int]:
        """Milliseconds end to end, and how many detections there were."""
        self.wait()
        start = time.perf_counter_ns()
        found = self(image)
        return (time.perf_counter_ns() - start) / 1e6, len(found)

    def timed_by_stage(self, image: Tensor) -> dict[str, float]:
        """Milliseconds by section, `other` being what the sections leave of the whole."""
        clock = SectionClock(self.device)
        self.wait()
        start = time.perf_counter_ns()
        with profiled(clock):
            self(image)
        whole = time.perf_counter_ns() - start
        stages = clock.take()
        stages[OTHER] = whole - sum(stages.values())
        return {name: nanoseconds / 1e6 for name, nanoseconds in stages.items()}


def _checked(images: Sequence[Tensor], device: torch.device | str) -> torch.device:
    if not images:
        raise SpeedError("speed: there are no images to time")
    try:
        device = torch.device(device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SpeedError(f"speed: device {str(device)!r} can't be used: {str(error).splitlines()[0]}") from None
    return device


def _inside(names: Sequence[str], config: SpeedConfig) -> list[str]:
    return [
        *names,
        f"copying the first {config.copied_detections} detections to the host",
        "final synchronisation",
    ]


def _record(names: Sequence[str], totals: list[float], stages: list[dict[str, float]]) -> dict[str, Any]:
    latency = {**_quartiles(totals), "mean": float(np.mean(totals)), "n": len(totals)}
    return {
        "latency_ms": latency,
        "fps": {"median": 1000 / latency["median"], "p25": 1000 / latency["p75"], "p75": 1000 / latency["p25"]},
        "stages_ms": {name: _quartiles([stage.get(name, 0.0) for stage in stages]) for name in [*names, COPY, OTHER]},
    }


def _quartiles(samples: Sequence[float]) -> dict[str, float]:
    low, middle, high = np.percentile(samples, [25, 50, 75]).tolist()
    return {"median": middle, "p25": low, "p75": high}
