"""The reference: PyTorch, operator by operator."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from yolact.config.inference import InferenceConfig
from yolact.errors import UserError
from yolact.inference.postprocess import detect
from yolact.runtime.profiling import Sections
from yolact.structures import Detections, RawOutputs

if TYPE_CHECKING:
    from yolact.models.one_stage.model import YolactModel

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class EngineError(UserError):
    """The engine that was asked for can't run this network, or not on this machine."""


class EagerEngine:
    """The network's own code; bf16 and fp16 by autocast."""

    def __init__(self, network: YolactModel, precision: str) -> None:
        self.network, self.precision = network, precision

    def outputs(self, images: Sequence[Tensor], masks: bool, sections: Sections) -> RawOutputs:
        with cast(self.precision, self.network.pixel_mean.device):
            return self.network.outputs(images, masks, sections)

    def finish(
        self,
        raw: RawOutputs,
        sizes: Sequence[tuple[int, int]],
        inference: InferenceConfig,
        sections: Sections,
        keep_prototypes: bool,
    ) -> list[Detections]:
        return detect(raw, sizes, self.network.branch, inference, self.network.image_size, sections, keep_prototypes)


def cast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Autocast to bf16 or fp16; nothing for fp32.

    Raises:
        EngineError: fp16 on a CPU.
    """
    check_precision(precision, device)
    return torch.autocast(device.type, dtype=_DTYPES[precision]) if precision in _DTYPES else nullcontext()


def check_precision(precision: str, device: torch.device) -> None:
    """
    Raises:
        EngineError: fp16 on a CPU.
    """
    if precision == "fp16" and device.type == "cpu":
        raise EngineError("inference.engine.precision=fp16 needs a GPU; choose fp32 or bf16 on the CPU")
