"""Forkserver: a template process that imports the stages' modules once and forks workers; importing torch takes seconds.

A forked worker starts in the state of a fresh process after its imports: the template starts no thread, draws no random number
and makes no tensor. So no state or memory passes from one stage to the next, and the death of a worker affects no other.

The worker pool owns the other end of the socket that is this process's standard input. Messages are lines of JSON:

    to it     {"job": number, "stages": [stage id], "environment": {name: value}}   start a worker
              {"job": number, "signal": number}            send it a signal
    from it   {"imported": {path: stamp}}                  once: the code that it has imported
              {"job": number, "code": exit status, negative where a signal killed it, "words": its last line on standard error}

It exits when the socket closes; workers then detect that their parent is gone.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import IO, Any

import psutil

from experiments.run import provenance
from experiments.stages.kind import Kind
from experiments.store.log import last_lines

CLOCK_SECONDS = 1.0
"""Maximum delay of a process's reported start relative to file times."""
PARENT = "YOLACT_PARENT_PID"
"""Environment variable with the pid of the launcher; without it a worker has no launcher."""


def serve(kinds: Mapping[str, Kind]) -> list[str] | None:
    """Fork workers until the socket closes.

    Returns:
        In a worker, its stages; in the template, once all workers have ended, None.
    """
    begun = int((psutil.Process().create_time() - CLOCK_SECONDS) * 1e9)
    _import_all(kinds)
    with socket.socket(fileno=os.dup(0)) as pool:
        with contextlib.suppress(OSError):  # the pool is gone: the next read says so
            pool.sendall(json.dumps({"imported": imported_code(begun)}).encode() + b"\n")
        return _Server(pool).run()


def imported_code(begun: int) -> dict[str, tuple[int, int]]:
    """{path: stamp} of every imported module, except those of installed packages.

    Args:
        begun: time when importing began, in ns. A file written later may have been read before; it gets a stamp that matches no
            file.
    """
    installed = tuple(f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    ours = tuple(f"{provenance.ROOT / room}{os.sep}" for room in ("yolact", "experiments"))
    files = {str(module.__file__) for module in list(sys.modules.values()) if getattr(module, "__file__", None)}
    paths = sorted(path for path in files if path.startswith(ours) or not path.startswith(installed))
    stamps = {path: stamp(path) for path in paths}
    return {path: found if found[0] < begun else (-1, -1) for path, found in stamps.items()}


def stamp(path: str) -> tuple[int, int]:
    """(modification time in ns, size) of a file; zeros if it does not exist."""
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def last_line(errors: IO[bytes]) -> str:
    """The last non-empty line of the file."""
    return (last_lines(errors) or [""])[-1]


def _import_all(kinds: Mapping[str, Kind]) -> None:
    provenance.sources()  # the current code, which every worker will run
    references = {reference for kind in kinds.values() for reference in (kind.function, kind.together) if reference}
    for module in sorted({reference.partition(":")[0] for reference in references}):
        with contextlib.suppress(Exception):  # a worker raises the same error and records it for its stage
            import_module(module)
    gc.collect()
    gc.freeze()


@dataclass
class _Worker:
    job: int
    errors: IO[bytes]


class _Server:
    def __init__(self, pool: socket.socket) -> None:
        self.pool, self.unread = pool, b""
        self.workers: dict[int, _Worker] = {}
        """By pid."""
        self.bell, bell = socket.socketpair()
        bell.setblocking(False)
        self._ringer = bell
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)

    def run(self) -> list[str] | None:
        while True:
            ready, _, _ = select.select([self.pool, self.bell], [], [])
            if self.bell in ready:
                self.bell.recv(4096)
                self._reap()
            if self.pool in ready:
                received = self.pool.recv(65536)
                if not received:
                    return None
                *lines, self.unread = (self.unread + received).split(b"\n")
                for line in lines:
                    stages = self._obey(json.loads(line))
                    if stages is not None:
                        return stages

    def _obey(self, asked: Mapping[str, Any]) -> list[str] | None:
        """Execute a message; return the stages in a new worker, else None."""
        if "signal" in asked:
            for pid, worker in self.workers.items():
                if worker.job == asked["job"]:
                    os.kill(pid, asked["signal"])
            return None
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the worker has ended
        template, pid = os.getpid(), os.fork()
        if pid == 0:
            self._become_worker(errors, template)
            os.environ |= asked["environment"]
            return asked["stages"]
        self.workers[pid] = _Worker(asked["job"], errors)
        return None

    def _become_worker(self, errors: IO[bytes], template: int) -> None:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in (self.bell, self._ringer, self.pool):
            end.close()
        for worker in self.workers.values():
            worker.errors.close()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(errors.fileno(), 2)
        errors.close()
        os.environ[PARENT] = str(template)

    def _reap(self) -> None:
        while self.workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            worker = self.workers.pop(pid)
            answer = {"job": worker.job, "code": os.waitstatus_to_exitcode(status), "words": last_line(worker.errors)}
            worker.errors.close()
            with contextlib.suppress(OSError):  # the pool is gone: the next read says so
                self.pool.sendall(json.dumps(answer).encode() + b"\n")
