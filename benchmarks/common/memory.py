"""Peak memory of one piece of work, each in a separate process."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

_PRELOADED = ["torch", "torchvision", "benchmarks.common.sized"]


def peaks(work: Callable[..., Any], calls: Sequence[tuple], device: str, threads: int) -> Iterator[dict[str, float | None]]:
    """`work(*arguments)` for each of `calls`, one process after the other.

    Args:
        work: a function at the top of a module; its result is dropped.

    Yields:
        `peak_mib`, of the process on a CPU and of the tensors on a GPU, and `base_mib`, the same before the work began:
        interpreter and libraries. None if the system does not report it.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        for arguments in calls:
            yield pool.submit(_watched, work, arguments, device, threads).result()


def _watched(work: Callable[..., Any], arguments: tuple, device: str, threads: int) -> dict[str, float | None]:
    torch.set_num_threads(threads)
    base = _peak(device)
    work(*arguments)
    return {"peak_mib": _peak(device), "base_mib": base}


def _peak(device: str) -> float | None:
    if device == "cuda":
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    # not getrusage, whose maximum a process inherits from the one that started it
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    return None if found is None else round(int(found[1]) / 1024, 1)
