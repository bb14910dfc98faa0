"""Speed of a preset at batch 1 under the paper's protocol (`yolact/inference/speed.py`), in every precision that the device
has."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.gpu_networks import IMAGE, TINY_IMAGE, drawn, noise
from yolact.config import SpeedConfig
from yolact.config.presets import Preset
from yolact.inference.speed import measure_speed
from yolact.runtime.hardware import usable_cores


def precisions(device: str) -> tuple[str, ...]:
    """Those that `yolact.inference.speed` measures there."""
    return ("fp32", "bf16") if device == "cpu" else ("fp32", "bf16", "fp16")


def speed(preset: Preset, precision: str, device: str, tiny: bool) -> dict[str, Any]:
    """One row: the record of `measure_speed`, without single samples."""
    config = SpeedConfig(warmup=1, repeats=2) if tiny else SpeedConfig(warmup=10)
    images, threads = noise(8, TINY_IMAGE if tiny else IMAGE), 1 if tiny else usable_cores()
    head = {"preset": preset.name, "precision": precision, "tf32_convolutions": _tf32(device, precision)}
    record = measure_speed(drawn(preset), images, preset.inference, config, device, threads, precision)
    return {**head, **{name: part for name, part in record.items() if name != "samples_ms"}}


def _tf32(device: str, precision: str) -> bool:
    """Whether fp32 convolutions are rounded to TF32: PyTorch's default on GPUs that have it."""
    return device != "cpu" and precision == "fp32" and torch.backends.cudnn.allow_tf32
