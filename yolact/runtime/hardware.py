"""What the numbers were made on: processor, memory, graphics card. The first part needs no torch."""

from __future__ import annotations

import functools
import itertools
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil


def host_hardware() -> dict[str, Any]:
    """The processor and memory of this host, without torch.

    Keys: `cpu` (model name), `architecture` (such as "x86_64"), `cores` (logical), `usable_cores` (those that this
    process may run on) and `memory_bytes`.
    """
    return {
        "cpu": cpu_name(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's model name, or its architecture where the system gives no name."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("model name")]
    return next((name for name in names if name), platform.processor() or platform.machine() or "unknown")


def usable_cores() -> int:
    """Logical cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_memory_bytes(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Main memory that this process may use: the machine's, or less if its control group allows less."""
    limits = [psutil.virtual_memory().total]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limits.append(int((groups / name).read_text(encoding="utf-8")))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return min(limits)


@functools.cache
def planned_device_name(device: str) -> str:
    """The name of the processor or of the first graphics card, found without torch."""
    if device != "cuda":
        return cpu_name()
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "no GPU on this machine"
    return answer.strip().splitlines()[0] if answer.strip() else "no GPU on this machine"


def visible_cards(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The graphics cards that a process may use, each by a name that CUDA_VISIBLE_DEVICES takes, without torch.

    Those that CUDA_VISIBLE_DEVICES of `environment` (by default this process's) lists, else all that nvidia-smi lists; parts of
    a card (MIG) in place of the whole.
    """
    listed = (os.environ if environment is None else environment).get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        names = [name.strip() for name in listed.split(",")]
        return tuple(itertools.takewhile(lambda name: name not in ("", "-1"), names))  # as CUDA stops at an invalid name
    try:
        answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    ids: list[str] = re.findall(r"UUID: ((?:GPU|MIG)-[^)\s]+)\)", answer.stdout)
    divided = {card for card, part in itertools.pairwise(ids) if card.startswith("GPU") and part.startswith("MIG")}
    return tuple(each for each in ids if each not in divided)


def device_name(device: str) -> str:
    """The name of a torch device such as "cpu" or "cuda:1": the processor's or the graphics card's. Imports torch for a GPU."""
    if device.split(":")[0] != "cuda":
        return cpu_name()
    import torch

    return torch.cuda.get_device_name(torch.device(device))


def hardware() -> dict[str, Any]:
    """`host_hardware()` and `gpus`: a list of {"name", "memory_bytes", "capability"}, empty where there are none."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return {**host_hardware(), "gpus": [_gpu(torch.cuda.get_device_properties(index)) for index in range(count)]}


def _gpu(properties: Any) -> dict[str, Any]:
    return {
        "name": properties.name,
        "memory_bytes": properties.total_memory,
        "capability": f"{properties.major}.{properties.minor}",
    }
