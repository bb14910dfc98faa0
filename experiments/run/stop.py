"""Stopping what runs on this machine: workers and their launchers save what they have and leave on SIGTERM."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from pathlib import Path

from experiments.run.worker import PARENT
from experiments.store.lease import Holder


def is_here(holder: Holder) -> bool:
    """Whether the process runs on this machine."""
    return holder.host == socket.gethostname()


def stop(holder: Holder) -> bool:
    """Ask the process that works on a stage to save and leave; False where it has just gone."""
    return _terminate(holder.pid)


def stop_launcher(holder: Holder) -> bool:
    """Ask the launcher that started a worker to begin no more stages, and all its workers to leave; False where it has none."""
    pid = launcher(holder.pid)
    return pid is not None and _terminate(pid)


def launcher(worker: int) -> int | None:
    """The process that had a worker started, itself or through a template, and still is there; None for one on its own."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        variables = dict(part.partition(b"=")[::2] for part in Path(f"/proc/{worker}/environ").read_bytes().split(b"\0"))
        named = int(variables.get(PARENT.encode(), b"0"))
        parent = _parent(worker)
        if named in (parent, _parent(parent)):
            return named
    return None


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])


def _terminate(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return False
    return True
