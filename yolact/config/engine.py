"""What runs a network: the engine and its arithmetic. Answers stay the same up to rounding; `docs/engines.md` says how far."""

from __future__ import annotations

from typing import Literal

from yolact.config.base import Config


class EngineConfig(Config):
    """How inference is carried out (`yolact/inference/engines/`)."""

    kind: Literal["eager", "compiled"] = "eager"
    """PyTorch operator by operator (the reference), or compiled for this machine ahead of the first image."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the convolutions; decoding, suppression and assembly are always in float32. fp16 needs a GPU."""
