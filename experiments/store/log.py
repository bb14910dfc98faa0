"""log.jsonl of a stage: one event per line."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

TAIL_BYTES = 16384


class EventLog:
    """log.jsonl, appended line by line from any thread."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "ab")  # noqa: SIM115 - closed by the attempt
        self._lock = threading.Lock()
        if self._file.tell() and not path.read_bytes().endswith(b"\n"):
            self._file.write(b"\n")

    def __call__(self, event: Mapping[str, Any]) -> None:
        line = json.dumps({"time": now(), **event}, ensure_ascii=False, default=str)
        with self._lock:
            self._file.write(line.encode() + b"\n")
            self._file.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()


def last_lines(file: IO[bytes], most_bytes: int = TAIL_BYTES) -> list[str]:
    """The non-empty lines in the last `most_bytes` bytes of an open file."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - most_bytes))
    return [line.rstrip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]


def tail(path: Path, most_bytes: int = TAIL_BYTES) -> list[str]:
    """`last_lines` of the file at a path; none if it can't be read."""
    try:
        with open(path, "rb") as file:
            return last_lines(file, most_bytes)
    except OSError:
        return []


def now() -> str:
    """The current time in ISO 8601, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
