"""Graphs on a GPU: compiled by inductor and captured as CUDA graphs, so that no launch waits for Python."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from yolact.engines.packages import cache_folder


def captured(graph: nn.Module) -> Callable[..., Any]:
    """`graph` compiled on its first call for the shapes it meets; inductor keeps its kernels beside the CPU's packages.

    The results are copies: those of a CUDA graph are overwritten by its next replay.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder().with_name("inductor")))
    run = torch.compile(graph, options={"triton.cudagraphs": True, "freezing": True})

    def call(*inputs: Any) -> Any:
        torch.compiler.cudagraph_mark_step_begin()
        made = run(*inputs)
        return made.clone() if isinstance(made, Tensor) else tuple(each.clone() for each in made)

    return call
