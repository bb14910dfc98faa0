"""Interrupts: the first Ctrl-C saves and stops, the second one stops at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


class Stop:
    """Counter of the user's requests to stop."""

    def __init__(self) -> None:
        self.asked = 0

    def __bool__(self) -> bool:
        return self.asked > 0


@contextlib.contextmanager
def counted_interrupts() -> Iterator[Stop]:
    """Count SIGINT and SIGTERM instead of exiting. Outside the main thread, signal handlers are not changed."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def count(*_: object) -> None:
        stop.asked += 1

    before = {number: signal.signal(number, count) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
