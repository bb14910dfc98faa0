"""Progress display of a launch: bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich import progress as bars
from rich.console import Console

from experiments.store.states import COLOURS, ENDS, State
from yolact.runtime.units import duration

if TYPE_CHECKING:
    from experiments.launch.launcher import Event

LINE_SECONDS = 15.0


class Progress:
    """Displays a launcher's events. Use it as a context manager and pass it as `events`.

    Args:
        title: maps a stage id to its title.
        total: number of stages to run.
    """

    def __init__(self, title: Callable[[str], str], total: int, console: Console | None = None) -> None:
        self.title, self.total = title, total
        self.console = console or Console(highlight=False)
        self.ended = 0
        self._clocks: dict[str, _Clock] = {}
        self._bars: dict[str, bars.TaskID] = {}
        self._last_line: dict[str, float] = {}
        columns = (bars.TextColumn("{task.description}"), bars.BarColumn(bar_width=24), bars.TextColumn("{task.fields[news]}"))
        self._progress = bars.Progress(*columns, console=self.console, transient=True) if self.console.is_terminal else None

    def __enter__(self) -> Self:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._progress:
            self._progress.stop()

    def __call__(self, event: Event) -> None:
        if event.what in ENDS:
            self._end(event)
        elif event.what == "step":
            self._step(event)
        elif event.what == "started":
            self._start(event.stage_id)
        elif event.what in ("warning", State.WAITING):
            self._say(f"{self.title(event.stage_id)}: {event.data.get('message', event.what)}", "yellow")

    def _start(self, stage_id: str) -> None:
        self._clocks[stage_id] = _Clock()
        if self._progress:
            self._bars[stage_id] = self._progress.add_task(self.title(stage_id), total=None, news="")
        else:
            self._say(f"{self.title(stage_id)}: started")

    def _step(self, event: Event) -> None:
        stage_id, data = event.stage_id, event.data
        done, total = data.get("iteration", 0), data.get("iterations", 0)
        news = self._clocks.setdefault(stage_id, _Clock()).news(done, total, data.get("loss"))
        if self._progress and stage_id in self._bars:
            self._progress.update(self._bars[stage_id], completed=done, total=total or None, news=news)
        elif time.monotonic() - self._last_line.get(stage_id, float("-inf")) > LINE_SECONDS:
            self._last_line[stage_id] = time.monotonic()
            self._say(f"{self.title(stage_id)}: {done}/{total} {news}")

    def _end(self, event: Event) -> None:
        self.ended += 1
        if self._progress and event.stage_id in self._bars:
            self._progress.remove_task(self._bars.pop(event.stage_id))
        clock = self._clocks.pop(event.stage_id, None)
        took = f" in {duration(clock.elapsed)}" if clock else ""
        why = event.data.get("message") or (f"needs {self.title(event.data['by'])}" if "by" in event.data else "")
        line = f"[{self.ended}/{self.total}] {self.title(event.stage_id)}: {event.what}{took}{': ' + why if why else ''}"
        self._say(line, COLOURS[event.what])

    def _say(self, line: str, style: str | None = None) -> None:
        self.console.print(line, style=style, markup=False, soft_wrap=True)


class _Clock:
    """Rate of one stage, measured from the first observed step, because a resumed stage doesn't start at 0."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.first: tuple[float, int] | None = None

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def news(self, done: int, total: int, loss: float | None) -> str:
        """Loss, rate and time left, those that are known."""
        now = time.monotonic()
        if self.first is None or done < self.first[1]:
            self.first = (now, done)
        parts = [f"loss {loss:.3f}"] if loss is not None else []
        seconds, steps = now - self.first[0], done - self.first[1]
        if seconds > 0 and steps > 0:
            rate = steps / seconds
            parts += [f"{rate:.1f} it/s", f"{duration((total - done) / rate)} left"]
        return ", ".join(parts)
