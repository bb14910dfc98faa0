"""Training on a CPU: images per second of a step and of the loader, which part of a step takes how long, and the loss curves.

Cost: on two idle cores a minute for the toy network and ten for
YOLACT-550 with ResNet-50, with five gigabytes of memory. To reproduce, with a checkout of the code before:

    python -m benchmarks training --against ../before --threads 2 --out results/reference/cpu

Protocol: that of `benchmarks/common/timing.py`; the other code in fp32 and this in every precision have a process each, which
alternate step by step. A step trains on images of random numbers with 7 random boxes each, the same in every step, through
`yolact.training.loop.train`. A step of `toy-loader` and `r50-loader` makes a batch of generated JPEG images, with the case's
augmentations and no cache. Two steps to warm up, which only the loss columns count.

Writes training.csv, a row per case, code and precision, and training.png. `median_ms` and its quartiles are wall-clock time of
a step, `images_per_s` follows from them; `processor_ms` is the time of all threads, `images_per_processor_s` what a core makes
of it. `speedup` and `speedup_processor`: how many times faster than the other code in fp32 (without --against, this code in
the first precision), round by round. `forward_ms` and so on: medians of the training log's own parts of a step, without the
loader's, which includes the wait between rounds.

Equal loss curves: `loss_first` and `loss_last` say how far the loss falls in all these steps; `loss_difference_mean` and `_max`
are relative differences from the other code's loss, over the steps; `loss_difference_running` is the largest of the running
mean over ten steps. The row of this code in fp32 says how much of that is rounding alone.

`feeds_fp32` and `feeds_bf16` of the loader: its `images_per_processor_s` divided by that of the same code's step.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import ROOT
from benchmarks.common.command import positive
from benchmarks.common.results import write_results
from benchmarks.common.timing import REPEATS, in_order, ratio, rounds, row, spread
from benchmarks.common.workers import Worker, WorkerError
from benchmarks.training.picture import draw
from yolact.runtime.hardware import usable_cores

BATCH = {"toy": 8, "r50": 2}
LOADER = "-loader"
CASES = (*BATCH, *(f"{case}{LOADER}" for case in BATCH))
PRECISIONS = ("fp32", "bf16")
WARMUP = 2
_WINDOW = 10


@dataclass(frozen=True)
class Candidate:
    """Whose steps are timed."""

    code: str
    """"other" or "this"."""
    precision: str
    checkout: Path


@dataclass
class Taken:
    """What one candidate's steps took."""

    wall: list[float]
    """Milliseconds of each step after those to warm up."""
    processor: list[float]
    losses: list[float]
    """Of all steps; empty for a loader."""
    parts: list[dict[str, float]]
    """Seconds of each part, of every step; empty where the log doesn't say."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for; print, and write where asked."""
    options = _parse(arguments)
    rows: list[dict[str, Any]] = []
    try:
        for case in options.cases:
            candidates = _candidates(case, options.against, options.precision)
            rows += table(case, options.threads, take(case, candidates, options.steps, options.threads))
    except WorkerError as error:
        sys.exit(str(error))
    add_feeds(rows)
    for each in rows:
        print(", ".join(f"{name} {value}" for name, value in each.items()), flush=True)
    write_results(options.out, "training", rows, draw)


def take(case: str, candidates: Sequence[Candidate], steps: int, threads: int) -> dict[Candidate, Taken]:
    """Run the steps of all candidates, alternately."""
    count = WARMUP + steps
    taken = {candidate: Taken([], [], [], []) for candidate in candidates}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as open_ones:
        workers = {each: open_ones.enter_context(closing(_worker(each, case, count, threads, folder))) for each in candidates}
        for number in rounds(count):
            for each in in_order(candidates, number):
                wall, processor = workers[each].call()
                if number >= WARMUP:
                    taken[each].wall.append(1000 * wall)
                    taken[each].processor.append(1000 * processor)
        for each, worker in workers.items():
            end = worker.call()
            taken[each].losses, taken[each].parts = end["losses"], end["parts"]
    return taken


def table(case: str, threads: int, taken: Mapping[Candidate, Taken]) -> list[dict[str, Any]]:
    """A row per candidate; the first is what the others are compared with."""
    images = BATCH[case.removesuffix(LOADER)]
    reference = next(iter(taken.values()))
    rows = []
    for candidate, own in taken.items():
        precision = "" if case.endswith(LOADER) else candidate.precision
        head = {"case": case, "code": candidate.code, "precision": precision, "threads": threads, "batch": images}
        rates = spread("images_per_s", 1000 * images / np.array(own.wall))
        faster = ratio(own.wall, reference.wall, "speedup") | ratio(own.processor, reference.processor, "speedup_processor")
        processor = spread("processor_ms", own.processor) | spread(
            "images_per_processor_s", 1000 * images / np.array(own.processor)
        )
        losses = differences(own.losses, reference.losses) if own.losses else {}
        rows.append({**head, **row(own.wall), **rates, **processor, **faster, **losses, **_parts(own)})
    return rows


def differences(losses: Sequence[float], reference: Sequence[float]) -> dict[str, float]:
    """The columns that say how alike two loss curves are; see the top of this file."""
    relative = _relative(np.array(losses), np.array(reference))
    window = np.ones(min(_WINDOW, len(losses)))
    running = _relative(*(np.convolve(each, window, "valid") for each in (losses, reference)))
    found = {
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "loss_difference_mean": relative.mean(),
        "loss_difference_max": relative.max(),
        "loss_difference_running": running.max(),
    }
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def add_feeds(rows: Sequence[dict[str, Any]]) -> None:
    """Give each loader's row the columns `feeds_fp32` and `feeds_bf16`, as far as these steps were measured."""
    for loader in (each for each in rows if each["case"].endswith(LOADER)):
        for step in rows:
            if (step["case"] + LOADER, step["code"]) == (loader["case"], loader["code"]):
                feeds = loader["images_per_processor_s"] / step["images_per_processor_s"]
                loader[f"feeds_{step['precision']}"] = round(feeds, 3)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout of this project to compare with")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument(
        "--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), help="of this code; the other stays at fp32"
    )
    parser.add_argument("--steps", type=positive, default=REPEATS, help=f"of each case (default: {REPEATS})")
    parser.add_argument("--threads", type=positive, default=usable_cores(), help="of each process (default: all cores)")
    parser.add_argument("--out", type=Path, help="folder for the table and the figure; without, rows are only printed")
    options = parser.parse_args(arguments)
    if options.against and not (options.against / "yolact" / "training" / "loop.py").is_file():
        parser.error(
            f"--against {options.against}: there is no yolact/training/loop.py; name the root of a checkout of this project"
        )
    return options


def _candidates(case: str, against: Path | None, precisions: Sequence[str]) -> list[Candidate]:
    """What the others are compared with comes first; a loader knows no precision."""
    other = [] if against is None else [Candidate("other", "fp32", against.resolve())]
    own = [precision for precision in PRECISIONS if precision in precisions]
    return [*other, *(Candidate("this", each, ROOT) for each in (["fp32"] if case.endswith(LOADER) else own))]


def _worker(candidate: Candidate, case: str, steps: int, threads: int, folder: str) -> Worker:
    script = str(Path(__file__).with_name("worker.py").resolve())
    command = [sys.executable, script, case, str(BATCH[case.removesuffix(LOADER)]), str(steps), candidate.precision, folder]
    environment = {"PYTHONPATH": str(candidate.checkout), "OMP_NUM_THREADS": str(threads)}
    return Worker(command, candidate.checkout, environment)


def _relative(values: Any, reference: Any) -> Any:
    return np.abs(values - reference) / np.abs(reference)


def _parts(own: Taken) -> dict[str, float]:
    """Median milliseconds of each part of a step, without the wait between rounds."""
    steps = own.parts[WARMUP:]
    names = [name for name in (steps[0] if steps else {}) if name not in ("loader", "other")]
    return {f"{name}_ms": round(1000 * float(np.median([step[name] for step in steps])), 3) for name in names}
