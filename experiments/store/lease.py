"""Lease of a stage: a lock file with a token, renewed by its modification time.

A lock is stale if its process is gone (same host), or if this process has seen it unchanged for `STALE_SECONDS`. Only this
host's monotonic clock counts, since hosts' clocks differ: at first sight the lock of a process that may live is held, whatever
its time; `watch` waits until that is decided. A stale lock is taken over. Its former owner may only have been paused: before it
publishes, it looks for its own token and finds another. Taking, checking and publishing happen under `flock`, so that no two
processes do them at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from experiments.store.durable import write_json

HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 60.0
WATCH_SECONDS = 1.0
"""Seconds between two reads of a watched lock."""
_now = time.monotonic


class StageBusy(Exception):  # noqa: N818 - not a fault
    """Another live process works on this stage."""


class LockLost(Exception):  # noqa: N818 - not a fault
    """Another process took this stage over while this one was paused; this one's output must not be published."""


@dataclass(frozen=True)
class Holder:
    """Content of a lock file."""

    token: str
    host: str
    pid: int
    started: int
    """The process's start in clock ticks since boot: tells a process from a later one with the same pid; 0 if unknown."""
    unchanged_seconds: float
    """Seconds for which this process has observed the lock unchanged, by its own clock; 0 at the first read."""
    alive: bool
    """Whether the lock was seen to change, or looks fresh by this host's clock: no watch is needed to count it as held."""

    @property
    def stale(self) -> bool:
        """Whether the stage may be taken over."""
        if self.host == socket.gethostname() and process_start(self.pid) != self.started:
            return True
        return self.unchanged_seconds >= STALE_SECONDS


class StageLock:
    """The lock of one stage folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "lock"
        self.token = secrets.token_hex(8)
        self._stop = threading.Event()
        self.lost = threading.Event()
        """Set by the heartbeat when another process took over."""

    def acquire(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Take the lock and keep it alive. A lock that does not look fresh is watched first, for at most `STALE_SECONDS`.

        Args:
            should_stop: ends the watch; the lock then counts as held.

        Raises:
            StageBusy: a living process holds it.
        """
        watch([self.path], should_stop)
        with self._guard():
            holder = read_holder(self.path)
            if holder is not None and not holder.stale:
                raise StageBusy(f"{self.folder.name} is being worked on by process {holder.pid} on {holder.host}")
            me = {"token": self.token, "host": socket.gethostname(), "pid": os.getpid()}
            write_json(self.path, {**me, "started": process_start(os.getpid())})
        threading.Thread(target=self._beat, name=f"heartbeat {self.folder.name}", daemon=True).start()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """A critical section that runs only while this process owns the lock.

        Raises:
            LockLost: another process took over.
        """
        with self._guard():
            holder = read_holder(self.path)
            if holder is None or holder.token != self.token:
                raise LockLost(f"{self.folder.name} was taken over by another process")
            yield

    def release(self) -> None:
        """Release the lock, unless another process has taken it over."""
        self._stop.set()
        with contextlib.suppress(LockLost), self.held():
            self.path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Stop renewing the lock; for a stage whose folder is gone."""
        self._stop.set()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        handle = os.open(self.folder / ".guard", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            holder = read_holder(self.path)
            if holder is None or holder.token != self.token:
                self.lost.set()
                return
            with contextlib.suppress(OSError):
                os.utime(self.path)


def read_holder(path: Path) -> Holder | None:
    """Read the lock file; None if there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
            modified = os.fstat(file.fileno()).st_mtime_ns  # of what was read: a path's attributes may come from a cache
    except (OSError, json.JSONDecodeError):
        _seen.pop(path, None)
        return None
    look = _Look((data["token"], modified), _now(), False)
    before = _seen.get(path)
    if before is not None:
        same = before.mark == look.mark
        look = _Look(look.mark, before.since if same else look.since, before.changed or not same)
    _seen[path] = look
    unchanged = _now() - look.since
    fresh = 0 <= time.time() - modified / 1e9 < STALE_SECONDS
    return Holder(data["token"], data["host"], data["pid"], data.get("started", 0), unchanged, alive=fresh or look.changed)


def watch(paths: Iterable[Path], should_stop: Callable[[], bool] = lambda: False) -> None:
    """Read locks repeatedly until each one is alive, stale or gone."""

    def undecided(path: Path) -> bool:
        holder = read_holder(path)
        return holder is not None and not holder.alive and not holder.stale

    pending = [path for path in paths if undecided(path)]
    while pending and not should_stop():
        time.sleep(WATCH_SECONDS)
        pending = [path for path in pending if undecided(path)]


@dataclass(frozen=True)
class _Look:
    """This process's last observation of a lock file."""

    mark: tuple[str, int]
    """(token, modification time); any difference is a sign of life."""
    since: float
    """When the mark was first seen, by this host's monotonic clock."""
    changed: bool
    """Whether the mark was seen to change."""


_seen: dict[Path, _Look] = {}
"""{lock file: this process's last observation}."""


def process_start(pid: int) -> int | None:
    """The start time of a process in clock ticks since boot; None if it is gone or a zombie, 0 if unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        return 0 if psutil.pid_exists(pid) else None
    return None if fields[0] in "ZX" else int(fields[19])
