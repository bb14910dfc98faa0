"""Stopping what runs on this machine: workers and their launchers save what they have and leave on SIGTERM."""

from __future__ import annotations

import contextlib
import os
import signal
import socket

import psutil

from experiments.run.worker import PARENT
from experiments.store.lease import Holder
from yolact.errors import UserError


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
    """The process that had a worker started, itself or through a forkserver, and is still there; None without one."""
    with contextlib.suppress(psutil.Error, ValueError):
        process = psutil.Process(worker)
        named = int(process.environ().get(PARENT, "0"))
        parent = process.ppid()
        if named and named in (parent, psutil.Process(parent).ppid()):
            return named
    return None


def _terminate(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return False
    except PermissionError:
        raise UserError(f"process {pid} is another user's, who can stop it with the same command") from None
    return True
