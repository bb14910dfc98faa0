"""The interface of an inference engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from yolact.config.inference import InferenceConfig
from yolact.errors import UserError
from yolact.structures import Detections


class EngineError(UserError):
    """The engine doesn't run this model, or not on this machine."""


class Engine(Protocol):
    """From a batch to raw outputs, and from these to detections."""

    @property
    def section_names(self) -> tuple[str, ...]:
        """The sections of its work, in order (`yolact.runtime.profiling`), `preprocess` included."""

    def forward(self, batch: Tensor, masks: bool) -> Any:
        """Raw float32 outputs for (n, 3, S, S) float32 images in 0..255; False leaves out what only masks need."""

    def postprocess(self, raw: Any, sizes: Sequence[tuple[int, int]], inference: InferenceConfig) -> list[Detections]:
        """Detections in images of these sizes (H, W)."""


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse fp16 on a CPU.

    Raises:
        EngineError: fp16 on a CPU.
    """
    if precision == "fp16" and device.type == "cpu":
        raise EngineError("inference.engine.precision=fp16 needs a GPU; choose fp32 or bf16 on the CPU")
