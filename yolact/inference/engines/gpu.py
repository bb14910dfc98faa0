"""Graphs on a GPU: compiled by inductor and captured as CUDA graphs, so that no launch waits for Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from yolact.inference.engines.engine import EngineError
from yolact.runtime.compiler import keep_kernels


def captured(graph: nn.Module) -> Callable[..., Any]:
    """`graph` compiled on its first call for the shapes it meets; inductor keeps its kernels beside the CPU's packages.

    The results are copies: those of a CUDA graph are overwritten by its next replay.

    Raises:
        EngineError: on a call, compiling failed.
    """
    keep_kernels()
    run = torch.compile(graph, options={"triton.cudagraphs": True, "freezing": True})

    def call(*inputs: Any) -> Any:
        torch.compiler.cudagraph_mark_step_begin()
        try:
            made = run(*inputs)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise EngineError(
                f"inference.engine: compiling {type(graph).__name__} failed ({reason}); set inference.engine.kind to eager"
            ) from error
        return made.clone() if isinstance(made, Tensor) else tuple(each.clone() for each in made)

    return call
