"""The numeric type and memory layout of a network's weights."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn


def set_precision(network: nn.Module, dtype: torch.dtype, exact: Collection[nn.Module]) -> None:
    """Set the weights to `dtype` and the channels-last layout, in place; every layer converts its input to its weights' type.

    Args:
        network: its buffers outside layers keep their type.
        exact: layers that stay in float32.
    """
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if not own:
            continue
        kind = torch.float32 if module in exact else dtype
        if list(module.children()):
            for parameter in own:
                parameter.data = parameter.data.to(kind)
        else:
            module.to(dtype=kind, memory_format=torch.channels_last)  # type: ignore[call-overload]
            module.register_forward_pre_hook(_convert)


def _convert(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    kind = next(module.parameters(recurse=False)).dtype
    return tuple(each.to(kind) if isinstance(each, Tensor) and each.is_floating_point() else each for each in inputs)
