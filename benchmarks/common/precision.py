"""Precisions of inference on a device, and fp32 without TF32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def precisions(device: str) -> tuple[str, ...]:
    """Those that the engines have on a device."""
    return ("fp32", "bf16") if device == "cpu" else ("fp32", "bf16", "fp16")


@contextmanager
def full_float32() -> Iterator[None]:
    """Disable TF32, which PyTorch enables for convolutions by default."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
