"""Progress of a transfer on standard error: a bar on a terminal, occasional lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from yolact.runtime.units import readable_size

LINE_SECONDS = 15.0
"""Seconds between two lines without a terminal."""


class _Transferred(ProgressColumn):
    """`1.0 MiB of 19.3 GiB, 20.0 MiB/s`."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(_done(task.completed, task.total) + (f", {readable_size(speed)}/s" if speed else ""))


class Meter:
    """Displays transferred and total bytes of one transfer after another. Use it as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._what = ""
        self._last_line = 0.0

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), _Transferred(), TimeRemainingColumn())
            self._progress = Progress(*columns, console=self.console)
            self._progress.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._progress:
            self._progress.stop()

    def start(self, what: str) -> None:
        """Begin the next transfer, named `what`."""
        self._what, self._last_line = what, time.monotonic()
        if self._progress:
            self._task = self._progress.add_task(what, total=None)
        else:
            self.say(what)

    def update(self, done: int, total: int | None) -> None:
        """Show `done` of `total` bytes; None if the total is unknown."""
        if self._progress and self._task is not None:
            self._progress.update(self._task, completed=done, total=total)
        elif time.monotonic() - self._last_line > LINE_SECONDS:
            self._last_line = time.monotonic()
            self.say(f"{self._what}: {_done(done, total)}")

    def say(self, line: str) -> None:
        """Print a line, above any bars."""
        self.console.print(line, markup=False, soft_wrap=True)


def _done(done: float, total: float | None) -> str:
    return readable_size(done) + (f" of {readable_size(total)}" if total else "")
