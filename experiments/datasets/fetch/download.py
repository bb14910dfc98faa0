"""One file over HTTP: it goes on where it stopped, tries again, and bears its name only once it is whole.

While it comes, `<name>.part` holds the bytes and `<name>.part.json` what they are a part of: address, total and the server's
mark of the contents (ETag or Last-Modified). The rest is asked for under that mark, so that a file that has changed meanwhile
comes whole and new. Of a server that gives no mark, the total must still be the same.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from experiments.datasets.fetch.meter import Meter
from experiments.datasets.fetch.request import (
    DownloadError,
    RangeError,
    TransientError,
    integer,
    mark_of,
    open_url,
    read,
    total_size,
)
from yolact.errors import UserError
from yolact.runtime import files
from yolact.runtime.units import readable_size

DELAYS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds of rest before each further try; tries that brought new bytes don't count."""


@dataclass(frozen=True)
class _Part:
    """What the bytes in the .part file are the beginning of."""

    url: str
    total: int | None
    mark: str | None


def download(url: str, path: Path, meter: Meter, check: Callable[[Path], None] | None = None) -> None:
    """Fetch `url` to `path`, replacing nothing: `path` must not exist.

    Args:
        check: is shown the whole file before it gets its name; what it raises goes to the caller, and the file is dropped.

    Raises:
        DownloadError: it isn't there, the connection keeps breaking, or the disk is too small; what came is kept.
    """
    part, note = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.json")
    with _locked(part) as file:
        try:
            _retrying(url, lambda: _attempt(url, file, note, meter), lambda: _length(file))
            os.fsync(file.fileno())
        except DownloadError as error:
            kept = _length(file)
            if not kept:
                part.unlink()
                note.unlink(missing_ok=True)
                raise
            raise DownloadError(f"{error} ({readable_size(kept)} are kept in {part}, where the same command goes on)") from None
        if check:
            try:
                check(part)
            except UserError:
                part.unlink()
                note.unlink(missing_ok=True)
                raise
        os.replace(part, path)
        note.unlink(missing_ok=True)


def remote_size(url: str) -> int | None:
    """The size in bytes of what lies at `url`; None where the server doesn't say.

    Raises:
        DownloadError: it isn't there, or can't be reached.
    """

    def ask() -> int | None:
        with open_url(url, {}, "HEAD") as response:
            return integer(response.headers["Content-Length"])

    return _retrying(url, ask, lambda: 0)


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raise DownloadError unless the disk that `folder` lies on has `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DownloadError(
            f"{folder}: {what} needs {readable_size(needed)} of disk space, {readable_size(free)} are free; make room"
        )


def _retrying(url: str, attempt: Callable[[], Any], progress: Callable[[], int]) -> Any:
    failures, best = 0, progress()
    while True:
        try:
            return attempt()
        except TransientError as error:
            reached = progress()
            failures, best = (0, reached) if reached > best else (failures, best)
            if failures == len(DELAYS):
                raise DownloadError(f"{url}: {error}; tried {failures + 1} times. Is the network up?") from None
            time.sleep(DELAYS[failures])
            failures += 1


def _attempt(url: str, file: FileIO, note: Path, meter: Meter) -> None:
    """Fetch what is missing. Raises TransientError where it is worth another try."""
    have, known = _length(file), _read_note(note)
    if have and (known is None or known.url != url):
        have = _cut(file)
    headers = {"Range": f"bytes={have}-"} if have else {}
    if have and known and known.mark:
        headers["If-Range"] = known.mark
    try:
        response = open_url(url, headers, "GET")
    except RangeError as error:
        if known and error.total == known.total == have:
            return
        _cut(file)
        raise TransientError("what lies there has changed; starting anew") from None
    with response:
        total = total_size(response, have)
        if response.status == 206 and known and total != known.total:
            _cut(file)
            raise TransientError("what lies there has changed; starting anew")
        if response.status != 206:
            have = _cut(file)
            files.write_json(note, asdict(_Part(url, total, mark_of(response.headers))))
        require_space(note.parent, (total or have) - have, f"the rest of {url}" if have else url)
        _copy(response, file, have, total, meter)


def _copy(response: Any, file: FileIO, done: int, total: int | None, meter: Meter) -> None:
    meter.update(done, total)
    while chunk := read(response):
        try:
            _write(file, chunk)
        except OSError as error:
            raise DownloadError(f"{file.name}: {error.strerror}; make room, or mend the folder") from None
        done += len(chunk)
        meter.update(done, total)
    if total is not None and done != total:
        raise TransientError(f"the connection ended after {done} of {total} bytes")


def _write(file: FileIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:  # an unbuffered file may take a part only
        rest = rest[file.write(rest) :]


def _read_note(note: Path) -> _Part | None:
    try:
        return _Part(**json.loads(note.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


@contextmanager
def _locked(path: Path) -> Iterator[FileIO]:
    """A file opened for appending, unbuffered, that no other process appends to."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = open(path, "ab", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise DownloadError(f"{path}: can't be written ({error.strerror}); choose another folder, or mend this one") from None
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # the other process may have renamed the file between our opening and our locking it
            mine = path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())
        except BlockingIOError:
            mine = False
        if not mine:
            raise DownloadError(f"{path}: another process is fetching it; wait for that one")
        yield file


def _length(file: FileIO) -> int:
    return os.fstat(file.fileno()).st_size


def _cut(file: FileIO) -> int:
    file.truncate(0)
    return 0
