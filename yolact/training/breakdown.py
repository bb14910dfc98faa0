"""Which part of a training step takes the time: the loader, the transfer, the forward pass, the backward pass or the optimiser.

On the CPU a clock is read between the parts. On a GPU, work runs behind the host's back, so events are put between the parts
and read together at the end of a window of steps: "loader" and "transfer" are what the GPU waited for them, not what they took
while it had other work to do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

PARTS = ("loader", "transfer", "forward", "backward", "optimiser", "other")
"""In the order of a step; "other" is the rest of the window: logging, checkpoints, waiting for other processes."""


class Breakdown:
    """Adds up the seconds of each part over a window of steps.

    Args:
        device: "cpu" or "cuda".
    """

    def __init__(self, device: str) -> None:
        self._on_gpu = device.startswith("cuda")
        self._last = 0.0
        self._begin()

    def mark(self, part: str) -> None:
        """What was done since the mark before was this part."""
        if self._on_gpu:
            self._events.append((part, _event()))
            return
        now = time.perf_counter()
        self._seconds[part] += now - self._last
        self._last = now

    def close(self) -> dict[str, float]:
        """End the window: the seconds of each of PARTS, whose sum is the window's."""
        if self._events:
            self._events[-1][1].synchronize()
            for (_, before), (part, event) in pairwise(self._events):
                self._seconds[part] += before.elapsed_time(event) / 1000
        seconds = self._seconds
        seconds["other"] += max(0.0, time.perf_counter() - self._start - sum(seconds.values()))
        self._begin()
        return seconds

    def _begin(self) -> None:
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._events: list[tuple[str, Any]] = [("", _event())] if self._on_gpu else []
        self._start = self._last = time.perf_counter()


def _event() -> Any:
    """Put behind the work that the GPU has been given so far."""
    import torch  # here, so that `yolact logs`, which asks for `limit`, needs no torch

    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def limit(seconds: Mapping[str, float]) -> str:
    """The part that takes most of a window, as words: "limited by the loader: 62 %"; empty where nothing was timed."""
    total = sum(seconds.values())
    if total <= 0:
        return ""
    part = max(seconds, key=lambda name: seconds[name])
    name = {"forward": "forward pass", "backward": "backward pass", "other": "rest"}.get(part, part)
    return f"limited by the {name}: {100 * seconds[part] / total:.0f} %"
