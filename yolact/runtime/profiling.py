"""Named sections of a model's work, and the clock that times them.

`with section("backbone"):` costs next to nothing unless a profiler is active. Compiled and exported graphs hold no trace
of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

import torch

Profiler = Callable[[str], AbstractContextManager[None]]
"""Called with a section's name, returns the context manager that brackets it."""

_NOTHING = nullcontext()
_active: ContextVar[Profiler | None] = ContextVar("profiler", default=None)


def section(name: str) -> AbstractContextManager[None]:
    """Bracket a named section of work for the active profiler, if any."""
    if torch.compiler.is_compiling():
        return _NOTHING
    profiler = _active.get()
    return _NOTHING if profiler is None else profiler(name)


@contextmanager
def profiled(profiler: Profiler) -> Iterator[None]:
    """Make `profiler` the active one of this thread for the duration of the block."""
    token = _active.set(profiler)
    try:
        yield
    finally:
        _active.reset(token)


class SectionClock:
    """A profiler that adds up the time spent in each named section.

    It synchronises with the device before and after each section, so that a section's time covers its own work and no other.
    """

    def __init__(self, device: torch.device) -> None:
        self._wait = synchronizer(device)
        self._nanoseconds: dict[str, int] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self._wait()
        start = time.perf_counter_ns()
        try:
            yield
            self._wait()
        finally:
            self._nanoseconds[name] = self._nanoseconds.get(name, 0) + time.perf_counter_ns() - start

    def take(self) -> dict[str, int]:
        """Nanoseconds by section since the last call, in the order of their first entry; then starts again at zero."""
        taken, self._nanoseconds = self._nanoseconds, {}
        return taken


def synchronizer(device: torch.device) -> Callable[[], None]:
    """A function that waits until the device has finished its work; a no-op for the CPU."""
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return lambda: None
