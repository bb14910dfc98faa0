"""Worker processes on this machine: their interface, and groups that train and end together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import IO, Protocol

from experiments.run.forkserver import last_line
from experiments.run.worker import BUSY, DONE, INTERRUPTED

GRACE_SECONDS = 15.0
"""How long the other processes may run after one has failed: enough to detect it, record the cause and exit."""
_ORDERLY = (DONE, INTERRUPTED, BUSY)


class Workers(Protocol):
    """The processes of one job."""

    def poll(self) -> int | None:
        """The exit status once all have ended, else None."""
        ...

    def signal(self, number: int) -> None:
        """Send a signal to all that still run."""
        ...

    def killed(self) -> str:
        """The process that was killed first, and its signal, in words; "" if none was."""
        ...

    def error_line(self) -> str:
        """The last line of standard error of the failed process."""
        ...

    def close(self) -> None:
        """Discard the output on standard error."""
        ...


class ProcessGroup:
    """Processes started together; the exit status of rank 0 counts.

    Args:
        command: command line of each process.
        environment: variables added to those of this process.
        size: number of processes.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], size: int) -> None:
        self._errors: list[IO[bytes]] = []
        self._processes: list[subprocess.Popen] = []
        self._first_failure: tuple[int, int] | None = None
        """(rank, status) of the first failed process."""
        self._deadline: float | None = None
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(size)}
        for rank in range(size):
            errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the last process has ended and its error was read
            place = {**meeting, "RANK": str(rank), "LOCAL_RANK": str(rank)} if size > 1 else {}
            process = subprocess.Popen(
                command,
                env={**os.environ, **environment, **place},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
            self._errors.append(errors)
            self._processes.append(process)

    def poll(self) -> int | None:
        """The exit status of rank 0 once all have ended, else None. Ends the others if one has failed or rank 0 has exited."""
        codes = [process.poll() for process in self._processes]
        failed = [(rank, code) for rank, code in enumerate(codes) if code is not None and code not in _ORDERLY]
        if failed and self._deadline is None:
            self._first_failure = min(failed, key=lambda each: each[1])  # a killed one first: the others failed because of it
        if None not in codes:
            return codes[0]
        if failed or codes[0] is not None:
            now = time.monotonic()
            self._deadline = self._deadline or now + GRACE_SECONDS
            if now > self._deadline or codes[0] not in (None, DONE):
                self.signal(signal.SIGKILL)
        return None

    def signal(self, number: int) -> None:
        """Send a signal to all that still run."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(number)

    def close(self) -> None:
        """Discard the output on standard error."""
        for errors in self._errors:
            errors.close()

    def killed(self) -> str:
        """The process that was killed first, and its signal, in words; "" if none was, except those ended by this group."""
        if self._first_failure is None or self._first_failure[1] >= 0:
            return ""
        rank, code = self._first_failure
        who = "the worker" if len(self._processes) == 1 else f"process {rank} of {len(self._processes)}"
        return f"{who} was killed by {signal.Signals(-code).name}"

    def error_line(self) -> str:
        """The last line of standard error of the first failed process, else of rank 0."""
        return last_line(self._errors[self._first_failure[0] if self._first_failure else 0])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
