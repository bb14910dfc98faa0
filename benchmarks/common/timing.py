"""The protocol that all benchmarks share.

What is compared is timed in one process (or in several that run alternately: `benchmarks/common/workers.py`), interleaved:
every round calls each candidate once, every other round in reverse order, so that whatever else the machine does meets all of
them alike. Wall-clock time, the device waited for before and after each call; warm-up rounds are not counted; what is reported
are medians with quartiles."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

REPEATS, WARMUP = 30, 3
_DIGITS = 6
_PROGRESS_S = 15.0
T = TypeVar("T")
Samples = Sequence[float] | NDArray[np.float64]


def interleaved(
    candidates: Mapping[str, Callable[[], Any]], repeats: int = REPEATS, warmup: int = WARMUP
) -> dict[str, list[float]]:
    """{name: milliseconds of each call}, `repeats` of them in the order of the rounds. Results of candidates are dropped."""
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    for number in rounds(warmup + repeats):
        for name in in_order(list(candidates), number):
            milliseconds, _ = timed(candidates[name])
            if number >= warmup:
                samples[name].append(milliseconds)
    return samples


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Milliseconds that a call takes, with all that it has the device do; and its result."""
    _wait()
    begun = time.perf_counter_ns()
    result = call()
    _wait()
    return (time.perf_counter_ns() - begun) / 1e6, result


def in_order(names: Sequence[T], number: int) -> Sequence[T]:
    """Order within a round: reversed in every other one."""
    return names if number % 2 == 0 else names[::-1]


def rounds(count: int) -> Iterator[int]:
    """0 .. count - 1; every 15 seconds prints progress and the remaining time to standard error."""
    begun = reported = time.monotonic()
    for number in range(count):
        yield number
        now = time.monotonic()
        if now - reported > _PROGRESS_S and number + 1 < count:
            reported, left = now, (now - begun) / (number + 1) * (count - number - 1)
            print(f"{number + 1} of {count} rounds, about {left:.0f} s to go", file=sys.stderr, flush=True)


def row(samples: Samples) -> dict[str, float]:
    """`median_ms`, `p25_ms`, `p75_ms` and `n` of one candidate's milliseconds."""
    found = spread("ms", samples)
    return {"median_ms": found["ms"], "p25_ms": found["ms_p25"], "p75_ms": found["ms_p75"], "n": len(samples)}


def ratio(samples: Samples, reference: Samples, name: str = "ratio") -> dict[str, float]:
    """How many times faster than `reference`: `ratio`, `ratio_p25`, `ratio_p75` of reference / samples, round by round."""
    return spread(name, np.divide(reference, samples))


def spread(name: str, values: Any) -> dict[str, float]:
    """The median of `values` as `name`, their quartiles as `name`_p25 and `name`_p75; six digits of each."""
    low, middle, high = (float(f"{value:.{_DIGITS}g}") for value in np.percentile(values, [25, 50, 75]))
    return {name: middle, f"{name}_p25": low, f"{name}_p75": high}


def _wait() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
