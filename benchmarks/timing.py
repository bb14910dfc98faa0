"""The protocol that all benchmarks share.

What is compared is timed in one process (or in several that take turns: `benchmarks/turns.py`), interleaved: every round calls
each candidate once, every other round in reverse order, so that whatever else the machine does meets all of them alike.
Wall-clock time, the device waited for before and after each call; warm-up rounds are not counted; what is reported are medians
with quartiles.
"""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from yolact.runtime.files import write_text
from yolact.runtime.hardware import device_name

REPEATS, WARMUP = 30, 3
_DIGITS = 6
_TELL_S = 15.0
T = TypeVar("T")
Samples = Sequence[float] | NDArray[np.float64]


def interleaved(
    candidates: Mapping[str, Callable[[], Any]], repeats: int = REPEATS, warmup: int = WARMUP
) -> dict[str, list[float]]:
    """{name: milliseconds of each call}, `repeats` of them in the order of the rounds. What candidates return is dropped."""
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in rounds(warmup + repeats):
        for name in in_turn(list(candidates), turn):
            milliseconds, _ = timed(candidates[name])
            if turn >= warmup:
                samples[name].append(milliseconds)
    return samples


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Milliseconds that a call takes, with all that it has the device do; and its result."""
    _wait()
    begun = time.perf_counter_ns()
    result = call()
    _wait()
    return (time.perf_counter_ns() - begun) / 1e6, result


def in_turn(names: Sequence[T], turn: int) -> Sequence[T]:
    """The order of a round: every other one in reverse."""
    return names if turn % 2 == 0 else names[::-1]


def rounds(count: int) -> Iterator[int]:
    """0 .. count - 1; tells now and then, on standard error, how far that is and how long the rest will take."""
    begun = told = time.monotonic()
    for turn in range(count):
        yield turn
        now = time.monotonic()
        if now - told > _TELL_S and turn + 1 < count:
            told, left = now, (now - begun) / (turn + 1) * (count - turn - 1)
            print(f"{turn + 1} of {count} rounds, about {left:.0f} s to go", file=sys.stderr, flush=True)


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


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], device: str = "cpu") -> None:
    """Write rows (columns: all of theirs, in order of appearance) with `hardware`, `threads`, `torch`, `date` behind.

    Makes the folder. A row that already has one of these columns keeps its own value.

    Args:
        device: torch device whose name `hardware` is.
    """
    made = {
        "hardware": device_name(device),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "date": datetime.now(UTC).date().isoformat(),
    }
    whole = [{**row, **{name: value for name, value in made.items() if name not in row}} for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in whole for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(whole)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text.getvalue())


def _wait() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
