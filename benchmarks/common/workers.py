"""Worker processes that run alternately: each handles one request while the others wait.

For what would change each other within one process, as two checkouts of the code do, or an engine that has the process keep
the memory it frees. A request and its reply are a line of JSON each, through standard input and output.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

REST_S = 0.02
"""After every reply: threads of OpenMP go on spinning for some milliseconds before they sleep."""


class WorkerError(RuntimeError):
    """A worker ended before its reply; its own message is on standard error."""


class Worker:
    """A process that runs a command whose code calls `serve`."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
        """Start it in `folder`, with `environment` in addition to one's own."""
        pipe: Any = subprocess.PIPE
        changed = {**os.environ, **(environment or {})}
        self._process: Any = subprocess.Popen(list(command), stdin=pipe, stdout=pipe, text=True, cwd=folder, env=changed)

    def call(self, request: Any = None) -> Any:
        """The worker's reply; both are plain data.

        Raises:
            WorkerError: there is none.
        """
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"a worker ended early, with status {self._process.wait()}: {' '.join(self._process.args)}")
        time.sleep(REST_S)
        return json.loads(line)

    def close(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):  # of a request that it never read
                pipe.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


def serve(handle: Callable[[Any], Any]) -> None:
    """Within a worker: handle every request until there are no more. What `handle` prints goes to standard error."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as replies:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        for line in sys.stdin:
            print(json.dumps(handle(json.loads(line))), file=replies, flush=True)
