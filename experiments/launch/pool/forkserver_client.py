"""Client of the forkserver (`experiments.run.forkserver`), which starts worker processes in milliseconds."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from experiments.run.forkserver import last_line, stamp

POSSIBLE = sys.platform == "linux"
"""On other systems a process must not be forked after libraries such as torch's were loaded."""


class ForkedWorker:
    """One worker forked from a forkserver."""

    def __init__(self, server: Forkserver, job: int) -> None:
        self._server, self._job = server, job
        self.code: int | None = None
        self.line = ""

    def poll(self) -> int | None:
        """The worker's exit status once it has ended, else None."""
        self._server.receive()
        return self.code

    def signal(self, number: int) -> None:
        """Send a signal to it, unless it has ended."""
        if self.poll() is None:
            self._server.send({"job": self._job, "signal": int(number)})

    def close(self) -> None:
        """Do nothing: the forkserver closes the file of standard error."""

    def killed(self) -> str:
        """The signal that killed it, in words; "" if none did."""
        return f"the worker was killed by {signal.Signals(-self.code).name}" if self.code is not None and self.code < 0 else ""

    def error_line(self) -> str:
        """The last line of its standard error."""
        return self.line


class Forkserver:
    """A process that workers are forked from.

    Args:
        command: its command line.
        environment: variables added to those of this process.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._socket, other = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the forkserver
        self._running: dict[int, ForkedWorker] = {}
        self._unread, self._jobs, self._retired = b"", 0, False
        self.imported: dict[str, list[int]] | None = None
        """{path: stamp} of its imported files; None while it still imports."""
        with other:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=other.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,
            )
        self._socket.setblocking(False)

    @property
    def usable(self) -> bool:
        """Whether it is alive and has imported the current code."""
        if self._retired:
            return False
        self.receive()
        return self._process.poll() is None and all(
            stamp(path) == tuple(known) for path, known in (self.imported or {}).items()
        )

    def start(self, stage_ids: Sequence[str], environment: Mapping[str, str]) -> ForkedWorker:
        """Fork a worker for these stages, with variables that differ from the forkserver's."""
        self._jobs += 1
        worker = self._running[self._jobs] = ForkedWorker(self, self._jobs)
        self.send({"job": self._jobs, "stages": list(stage_ids), "environment": dict(environment)})
        return worker

    def retire(self) -> None:
        """Exit once the last worker has ended."""
        self._retired = True
        self._leave_if_idle()

    def close(self) -> None:
        """Exit now; running workers save a checkpoint and exit."""
        self._socket.close()
        self._process.kill()  # it has no state but its imports, which may still be running
        self._process.wait()
        self._errors.close()

    def send(self, message: Mapping[str, object]) -> None:
        """Send a message; if the forkserver is gone, `receive` detects it."""
        with contextlib.suppress(OSError):
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> None:
        """Process its messages."""
        while self._running or self.imported is None:
            try:
                received = self._socket.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                received = b""
            if not received:
                return self._lost()
            *lines, self._unread = (self._unread + received).split(b"\n")
            for line in lines:
                self._note(json.loads(line))

    def _note(self, answer: Mapping) -> None:
        if "imported" in answer:
            self.imported = answer["imported"]
            return
        worker = self._running.pop(answer["job"])
        worker.code, worker.line = answer["code"], answer["words"]
        self._leave_if_idle()

    def _lost(self) -> None:
        """Handle a forkserver that was killed or could not start; its workers save a checkpoint and exit."""
        code = self._process.wait()
        for worker in self._running.values():
            worker.code, worker.line = code or 1, last_line(self._errors)
        self._running.clear()
        self.imported = self.imported or {}
        self._leave_if_idle()

    def _leave_if_idle(self) -> None:
        if self._retired and not self._running:
            self.close()
