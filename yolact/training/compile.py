"""Training with a compiled forward pass (`training.compile`).

`Model.forward` is compiled by torch.compile; losses stay as they are, since their shapes depend on the data. The module and the
names of its weights do not change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from yolact.errors import UserError
from yolact.models.base import Counts, Model
from yolact.runtime.compiler import keep_kernels, require_compiler


class CompileError(UserError):
    """`training.compile` is not supported for this model or on this machine."""


def compiled_loss(model: Model, device: str) -> Callable[..., dict[str, Tensor]]:
    """`model.loss` with its forward pass compiled, on the first call for each batch size.

    Raises:
        CompileError: at once, there is no C++ compiler for the CPU; on a call, compiling failed.
    """
    if device == "cpu":
        require_compiler("training.compile=true", "training.compile to false", CompileError)
    keep_kernels()
    # a shape's code must not depend on the shapes before it: a resumed training has seen others
    compute = torch.compile(model.forward, dynamic=False)

    def loss(images: Tensor, assignment: Any, counts: Counts | None = None) -> dict[str, Tensor]:
        try:
            raw = compute(images)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise CompileError(f"training.compile: compiling failed ({reason}); set training.compile to false") from error
        return model.criterion(raw, assignment, counts)

    return loss
