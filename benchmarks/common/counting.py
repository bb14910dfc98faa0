"""What each named section of a model computes and moves: floating-point operations and bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass
class Work:
    """Of one section."""

    flops: int = 0
    """Of convolutions and matrix products, a multiplication and an addition counting two; nothing else is counted."""
    bytes: int = 0
    """Every operator reads each tensor that it is given and writes each that it returns, once; views move nothing."""


class WorkCounter:
    """A profiler (`yolact.runtime.profiling`) that counts the work of each section: `found` is {section: Work}."""

    def __init__(self) -> None:
        self.found: dict[str, Work] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        # the counter of operations takes operators apart, so it must come behind the one that looks at them as they are called
        with FlopCounterMode(display=False) as counter, _Traffic() as traffic:
            yield
        work = self.found.setdefault(name, Work())
        work.flops += counter.get_total_flops()
        work.bytes += traffic.bytes


class _Traffic(TorchDispatchMode):
    """Adds up the bytes of operators' arguments and results."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        read = _tensors((args, kwargs))
        written = _tensors(result)
        if not _only_looks(read, written):
            self.bytes += sum(tensor.nbytes for tensor in (*read, *written))
        return result


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _only_looks(read: list[torch.Tensor], written: list[torch.Tensor]) -> bool:
    """A view, or an operator that makes no tensor: whose result lies in what it was given, and which changes nothing there."""
    given = {tensor.untyped_storage().data_ptr(): tensor for tensor in read}
    return all(
        tensor.untyped_storage().data_ptr() in given and tensor is not given[tensor.untyped_storage().data_ptr()]
        for tensor in written
    )
