"""Inference by stage and engine: YOLACT-550 with ResNet-50, batch 1, from a 640 x 480 image in memory to full-size masks.

Cost: six minutes and six gigabytes on two idle cores, once the engines are compiled, which takes ten
minutes the first time. To reproduce:

    python -m benchmarks inference --threads 2 --out results/reference/cpu

Protocol: that of `benchmarks/common/timing.py`; the runs are described in `benchmarks/engines/runners.py`. On the CPU every
engine has a separate process, and these alternate: a compiled engine has its process keep the memory it frees, which makes
eager PyTorch faster too. So there are two eager references in fp32, PyTorch as it comes and with that memory kept. On a GPU all
engines alternate in one process.

Writes inference.csv, a row per engine and part, and inference.png. Columns of part `whole`: `ratio` is the time of eager fp32
divided by the row's, `ratio_kept` that of eager fp32 with memory kept, both round by round; `mask_branch_share` is the share of
protonet, coefficients and assembly, the whole against `without masks` (`inference.masks` false). Parts are timed in separate
runs. Rows `detections=n` hold the time with `max_detections` n up to assembly (all parts but it), and of `assembly`. Of part
`growth`: `growth_percent`, by which the time up to assembly is longer with 100 detections than with 1, and
`slope_ms_per_detection` of assembly, a straight line fitted through all counts; both round by round. `detections` says how many
there were."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.style import house_style, new_figure
from benchmarks.common.command import parse
from benchmarks.common.figures import stacked
from benchmarks.common.results import write_results
from benchmarks.common.timing import WARMUP, in_order, ratio, rounds, row, spread
from benchmarks.common.workers import WorkerError
from benchmarks.engines.runners import Candidate, RemoteRunner, Runner, Task, TimedRun, network, picture
from yolact.config.engine import EngineConfig

COUNTS, FEW_COUNTS = (1, 10, 25, 50, 100), (1, 100)
"""Of detections; the few for eager engines, whose runs take long."""
WHOLE, BOXES = Task(), Task(masks=False)
ASSEMBLY = "assembly"

Runs = Mapping[Task, Sequence[TimedRun]]
"""All runs of one engine, in the order of the rounds."""


def candidates(device: str) -> list[Candidate]:
    """The references first."""
    precisions = ("fp32", "bf16") if device == "cpu" else ("fp32", "bf16", "fp16")
    found = [Candidate(EngineConfig(kind=kind, precision=each)) for kind in ("eager", "compiled") for each in precisions]
    return [found[0], Candidate(EngineConfig(), keeps_memory=True), *found[1:]] if device == "cpu" else found


def tasks(candidate: Candidate) -> list[Task]:
    """The runs of a candidate in each round."""
    counts = FEW_COUNTS if candidate.engine.kind == "eager" else COUNTS
    return [WHOLE, BOXES, *(_growing(count) for count in counts)]


def run_rounds(runners: Mapping[Candidate, Callable[[Task], TimedRun]], repeats: int) -> dict[Candidate, Runs]:
    """Rounds in which every candidate does each of its tasks once; those to warm up aren't kept."""
    asked = {candidate: tasks(candidate) for candidate in runners}
    taken: dict[Candidate, dict[Task, list[TimedRun]]] = {each: {task: [] for task in asked[each]} for each in runners}
    for number in rounds(WARMUP + repeats):
        for task in dict.fromkeys(task for own in asked.values() for task in own):
            for candidate in in_order([each for each in runners if task in asked[each]], number):
                run = runners[candidate](task)
                if number >= WARMUP:
                    taken[candidate][task].append(run)
    return {candidate: runs for candidate, runs in taken.items()}


def table(taken: Mapping[Candidate, Runs]) -> list[dict[str, Any]]:
    """Rows of the whole, of its parts, and of growing numbers of detections, for one engine after the other."""
    wholes = {candidate: np.array(_milliseconds(runs[WHOLE])["whole"]) for candidate, runs in taken.items()}
    references = {("ratio_kept" if each.keeps_memory else "ratio"): wholes[each] for each in wholes if _is_reference(each)}
    rows = []
    for candidate, runs in taken.items():
        whole, boxes = wholes[candidate], np.array(_milliseconds(runs[BOXES])["whole"])
        parts = _milliseconds(runs[_growing(WHOLE.detections)])
        ratios = [ratio(whole, reference, name) for name, reference in references.items()]
        columns = {name: value for each in ratios for name, value in each.items()} | spread(
            "mask_branch_share", 1 - boxes / whole
        )
        own = [
            {"detections": _found(runs[WHOLE]), "part": "whole", **row(whole), **columns},
            {"detections": _found(runs[BOXES]), "part": "without masks", **row(boxes)},
            *({"detections": _found(runs[WHOLE]), "part": part, **row(times)} for part, times in parts.items()),
            *_growth({task.detections: own for task, own in runs.items() if task.by_part}),
        ]
        rows += [{"engine": candidate.name, **each} for each in own]
    return rows


def _is_reference(candidate: Candidate) -> bool:
    return candidate.engine == EngineConfig()


def _growing(count: int) -> Task:
    return Task(detections=count, by_part=True)


def _growth(runs: Mapping[int, Sequence[TimedRun]]) -> list[dict[str, Any]]:
    """Rows of each number of detections, and of how time grows with it."""
    rows, before, assembly = [], {}, {}
    for count, own in runs.items():
        parts = _milliseconds(own)
        assembly[count] = np.array(parts.pop(ASSEMBLY))
        before[count] = np.sum(list(parts.values()), axis=0)
        for part, times in (("up to assembly", before[count]), (ASSEMBLY, assembly[count])):
            rows.append({"detections": _found(own), "part": f"detections={count}: {part}", **row(times)})
    few, many = min(runs), max(runs)
    slopes = np.polyfit(list(assembly), np.array(list(assembly.values())), 1)[0]
    growth = spread("growth_percent", 100 * (before[many] / before[few] - 1)) | spread("slope_ms_per_detection", slopes)
    return [*rows, {"detections": _found(runs[many]), "part": "growth", "n": len(slopes), **growth}]


def _milliseconds(runs: Sequence[TimedRun]) -> dict[str, list[float]]:
    """{part: of each run}."""
    return {part: [run.milliseconds[part] for run in runs] for part in runs[0].milliseconds}


def _found(runs: Sequence[TimedRun]) -> int:
    return runs[-1].found


@house_style
def draw(rows: Sequence[Mapping[str, Any]], hardware: str) -> Figure:
    """A bar for each engine, made of its parts; behind it the whole and the ratio."""
    engines = list(dict.fromkeys(each["engine"] for each in rows))
    skipped = ("whole", "without masks", "growth")
    shown = [each for each in rows if each["part"] not in skipped and not each["part"].startswith("detections=")]
    bars = {name: {each["part"]: each["median_ms"] for each in shown if each["engine"] == name} for name in engines}
    wholes = {each["engine"]: each for each in rows if each["part"] == "whole"}
    figure = new_figure(1.2 + 0.45 * len(engines), width=9)
    axes = figure.subplots()
    stacked(axes, bars, {name: f"{each['median_ms']:.0f} ms, {each['ratio']:.2f} ×" for name, each in wholes.items()})
    axes.set_xlabel("median time of each part (ms); behind, the whole and how many times faster than eager fp32")
    figure.suptitle(f"YOLACT-550, ResNet-50, batch 1, {wholes[engines[0]]['detections']} masks; {hardware}", fontsize=9)
    return figure


def measure(device: str, threads: int, repeats: int, tiny: bool) -> list[dict[str, Any]]:
    """Prepare the engines, time them, and make the table."""
    chosen = candidates(device)
    with ExitStack() as open_ones:
        if device == "cpu":
            with _progress("compiling the engines"):  # in other processes, so that those timed hold nothing of a compiler's
                for candidate in chosen:
                    if candidate.engine.kind == "compiled":
                        with closing(RemoteRunner(candidate, threads, tiny)) as compiling:
                            _each_task(candidate, compiling)
            runners: dict[Candidate, Callable[[Task], TimedRun]] = {
                candidate: open_ones.enter_context(closing(RemoteRunner(candidate, threads, tiny))) for candidate in chosen
            }
        else:
            model, image = network(device, tiny), picture(device, tiny)
            runners = {candidate: Runner(model, image, candidate.engine) for candidate in chosen}
        with _progress("loading the engines"):
            for candidate, runner in runners.items():
                _each_task(candidate, runner)
        return table(run_rounds(runners, repeats))


def _each_task(candidate: Candidate, runner: Callable[[Task], TimedRun]) -> None:
    for task in tasks(candidate):
        runner(task)


@contextmanager
def _progress(what: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure; print, and write where asked."""
    options = parse(__doc__ or "", arguments)
    try:
        rows = measure(options.device, options.threads, options.repeats, options.tiny)
    except WorkerError as error:
        sys.exit(str(error))
    for each in rows:
        print(", ".join(f"{name} {value}" for name, value in each.items()), flush=True)
    write_results(options.out, "inference", rows, draw, options.device)
