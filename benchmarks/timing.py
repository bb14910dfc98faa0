"""The protocol that all benchmarks share.

What is compared is timed in one process, interleaved: every round calls each candidate once, every other round in reverse
order, so that whatever else the machine does meets all of them alike. Wall-clock time, the device waited for before and after
each call; warm-up rounds are not counted; what is reported are medians with quartiles.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from yolact.files import write_text
from yolact.hardware import device_name

REPEATS, WARMUP = 30, 3
_DIGITS = 6


def interleaved(
    candidates: Mapping[str, Callable[[], Any]], repeats: int = REPEATS, warmup: int = WARMUP
) -> dict[str, list[float]]:
    """{name: milliseconds of each call}, `repeats` of them in the order of the rounds. What candidates return is dropped."""
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    order = list(candidates.items())
    for turn in range(warmup + repeats):
        for name, call in order if turn % 2 == 0 else reversed(order):
            _wait()
            begun = time.perf_counter_ns()
            call()
            _wait()
            if turn >= warmup:
                samples[name].append((time.perf_counter_ns() - begun) / 1e6)
    return samples


def row(samples: Sequence[float]) -> dict[str, float]:
    """`median_ms`, `p25_ms`, `p75_ms` and `n` of one candidate's milliseconds."""
    low, middle, high = np.percentile(samples, [25, 50, 75]).tolist()
    return {"median_ms": _rounded(middle), "p25_ms": _rounded(low), "p75_ms": _rounded(high), "n": len(samples)}


def ratio(samples: Sequence[float], reference: Sequence[float]) -> dict[str, float]:
    """How many times faster than `reference`: `ratio`, `ratio_p25`, `ratio_p75` of reference / samples, round by round."""
    low, middle, high = np.percentile(np.divide(reference, samples), [25, 50, 75]).tolist()
    return {"ratio": _rounded(middle), "ratio_p25": _rounded(low), "ratio_p75": _rounded(high)}


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


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
