"""Stop workers and launchers on this machine: on SIGTERM they save a checkpoint and exit."""

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
    """Send SIGTERM to the process that works on a stage, so that it saves and exits; False if it has already exited."""
    return _terminate(holder.pid)


def stop_launcher(holder: Holder) -> bool:
    """Stop the launcher that started a worker, and all its workers; it starts no further stage. False if there is none."""
    pid = launcher(holder.pid)
    return pid is not None and _terminate(pid)


def launcher(worker: int) -> int | None:
    """The live process that started a worker, directly or through a forkserver; None if there is none."""
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
