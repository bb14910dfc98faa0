"""The reference engine: PyTorch, operator by operator."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from yolact.config.inference import InferenceConfig
from yolact.inference.engines.engine import check_precision
from yolact.models.base import Model, to_float32
from yolact.structures import Detections

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class EagerEngine:
    """The model's own code; bf16 and fp16 by autocast in the forward pass.

    Raises:
        EngineError: fp16 on a CPU.
    """

    def __init__(self, model: Model, precision: str) -> None:
        check_precision(precision, model.device)
        self.model, self.dtype = model, _DTYPES.get(precision)
        self.section_names = model.section_names

    def forward(self, batch: Tensor, masks: bool) -> Any:
        with nullcontext() if self.dtype is None else torch.autocast(batch.device.type, dtype=self.dtype):
            raw = self.model(batch, masks)
        return to_float32(raw)

    def postprocess(self, raw: Any, sizes: Sequence[tuple[int, int]], inference: InferenceConfig) -> list[Detections]:
        return self.model.postprocess(raw, sizes, inference)
