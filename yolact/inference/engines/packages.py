"""Compiled code kept on the disk, so that a graph is compiled once per machine and not once per process.

A package is machine code that is loaded and run: the folder must be the user's own, and nobody else may write to it. Packages
are named by all they depend on: the graph's sources, weights and shapes, the versions of Python and torch, the processor, the
number of threads. The oldest go when there are more than `MOST_PACKAGES`.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, fx, nn

from yolact.inference.engines.engine import EngineError
from yolact.inference.engines.sources import sources
from yolact.runtime.compiler import cache_folder, own_folder, require_compiler
from yolact.runtime.files import written_aside
from yolact.runtime.hardware import cpu_name

MOST_PACKAGES = 32
"""Kept in the folder; a network of 30 million parameters takes 200 MB in fp32."""


def compiled(graph: nn.Module, inputs: tuple[Any, ...]) -> Callable[..., Any]:
    """`graph` as machine code for the CPU, from the cache folder or compiled now (which takes minutes for a large network).

    Args:
        graph: in inference mode, its weights frozen.
        inputs: an example; the package accepts these shapes only.

    Raises:
        EngineError: there is no C++ compiler, or compiling failed.
        CompilerError: the folder can't be written or belongs to somebody else.
    """
    folder = own_folder(cache_folder())
    path = folder / f"{type(graph).__name__}-{_key(graph, inputs)}.pt2"
    with _locked(path.with_suffix(".lock")):
        if not path.is_file():
            _compile(graph, inputs, path)
            _remove_oldest(folder)
    os.utime(path)
    return torch._inductor.aoti_load_package(str(path))


def _compile(graph: nn.Module, inputs: tuple[Any, ...], path: Path) -> None:
    from torch._inductor.utils import fresh_cache

    require_compiler("inference.engine.kind=compiled", "inference.engine.kind to eager", EngineError)
    logging.getLogger(__name__).warning(
        "compiling %s for this processor; a large network takes minutes, later runs load it from %s",
        type(graph).__name__,
        path.parent,
    )
    with torch.inference_mode(False), torch.no_grad():
        try:
            program = torch.export.export(graph, _ordinary(inputs))
            with fresh_cache(), written_aside(path) as aside:
                made = torch._inductor.aoti_compile_and_package(
                    program, package_path=str(aside.with_suffix(".pt2")), inductor_configs={"freezing": True}
                )
                os.replace(made, aside)
        except Exception as error:  # torch.export and Inductor raise many kinds
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise EngineError(
                f"inference.engine: compiling {type(graph).__name__} failed ({reason}); set inference.engine.kind to eager"
            ) from error


def _ordinary(values: Any) -> Any:
    """Copies that aren't tensors of inference mode, which can't be exported with."""
    return values.clone() if isinstance(values, Tensor) else tuple(_ordinary(value) for value in values)


def _key(graph: nn.Module, inputs: tuple[Any, ...]) -> str:
    digest = hashlib.sha256()
    versions = torch.__version__, torchvision.__version__, platform.python_version()
    digest.update(repr((versions, cpu_name(), torch.get_num_threads(), _described(inputs))).encode())
    digest.update(repr(getattr(graph, "essence", None)).encode())
    for name, tensor in sorted((*graph.named_parameters(), *graph.named_buffers())):
        digest.update(f"{name}{_described(tensor)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    for module in graph.modules():
        if isinstance(module, fx.GraphModule):  # its code is in no file
            digest.update(module.code.encode())
    for source in sources(graph):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:24]


def _described(values: Any) -> Any:
    if isinstance(values, Tensor):
        return str(values.dtype), tuple(values.shape)
    return tuple(_described(value) for value in values) if isinstance(values, tuple) else values


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Another process that wants the same package waits until this one has made it."""
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_oldest(folder: Path) -> None:
    packages = sorted(folder.glob("*.pt2"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in packages[MOST_PACKAGES:]:
        path.unlink(missing_ok=True)
