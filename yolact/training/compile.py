"""A YOLACT network compiled for training: its own part of the loss by torch.compile, the losses as they are, for their shapes
depend on the data. The module stays what it was, and so do the names of its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from yolact.errors import UserError
from yolact.inference.engines.packages import keep_kernels
from yolact.models.base import Model
from yolact.models.one_stage.losses import Normalizer
from yolact.models.one_stage.model import YolactModel
from yolact.runtime.compiler import require_compiler
from yolact.structures import RawOutputs, Target


class CompileError(UserError):
    """`training.compile` can't be had for this network, or not on this machine."""


def compiled_loss(model: Model, device: str) -> Callable[..., dict[str, Tensor]]:
    """`model.loss` with its network compiled, on the first call for each batch size.

    Raises:
        CompileError: at once, the model isn't YOLACT, or there is no C++ compiler for the CPU; on a call, compiling failed.
    """
    if not isinstance(model, YolactModel):
        raise CompileError(
            f"training.compile: {type(model).__name__} can't be compiled, its inner shapes depend on the image; "
            "set training.compile to false"
        )
    if device == "cpu":
        require_compiler("training.compile=true", "training.compile to false", CompileError)
    keep_kernels()
    # a shape's code must not depend on the shapes before it: a resumed training has seen others
    compute = torch.compile(model.computed, dynamic=False)

    def loss(images: Tensor, targets: Sequence[Target], normalizer: Normalizer | None = None) -> dict[str, Tensor]:
        try:
            raw = RawOutputs(*compute(images), model.anchors())
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise CompileError(f"training.compile: compiling failed ({reason}); set training.compile to false") from error
        return model.criterion(raw, targets, normalizer)

    return loss
