"""Inference by stage and engine: YOLACT-550 with ResNet-50, batch 1, from a 640 x 480 image in memory to full-size masks.

Claims: on two CPU cores the compiled engine is at least 2.2 times as fast as the eager reference in fp32 and 4 times in bf16;
the mask branch costs at most a fifth of the whole; time grows by less than 10 % from 1 to 100 detections up to assembly, and
linearly in assembly. Cost: six minutes and six gigabytes on two idle cores, once the engines are compiled, which takes ten
minutes the first time. To reproduce:

    python benchmarks/inference.py --threads 2 --out results/reference/cpu

Protocol: that of `benchmarks/timing.py`; what is looked at is said in `benchmarks/looks.py`. On the CPU every engine has a
process of its own, and these take turns: a compiled engine has its process keep the memory it frees, which makes eager PyTorch
faster too. So there are two eager references in fp32, PyTorch as it comes and with that memory kept. On a GPU all engines take
turns in one process.

Writes inference.csv, a row per engine and part, and inference.png. Columns of part `whole`: `ratio` is the time of eager fp32
divided by the row's, `ratio_kept` that of eager fp32 with memory kept, both round by round; `mask_branch_share` is the share of
protonet, coefficients and assembly, the whole against `without masks` (`inference.masks` false). Parts are timed in looks of
their own. Rows `detections=n` hold the time with `max_detections` n up to assembly (all parts but it), and of `assembly`. Of
part `growth`: `growth_percent`, by which the time up to assembly is longer with 100 detections than with 1, and
`slope_ms_per_detection` of assembly, a straight line fitted through all counts; both round by round. `detections` says how
many there were.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.style import house_style, new_figure
from benchmarks.command import parse
from benchmarks.figures import save, stacked
from benchmarks.looks import Candidate, Look, Looker, RemoteLooker, Task, network, picture
from benchmarks.timing import WARMUP, in_turn, ratio, rounds, row, spread, write_csv
from benchmarks.turns import WorkerError
from yolact.config.engine import EngineConfig
from yolact.runtime.hardware import device_name

COUNTS, FEW_COUNTS = (1, 10, 25, 50, 100), (1, 100)
"""Of detections; the few for eager engines, whose looks take long."""
WHOLE, BOXES = Task(), Task(masks=False)
ASSEMBLY = "assembly"

Looks = Mapping[Task, Sequence[Look]]
"""All looks of one engine, in the order of the rounds."""


def candidates(device: str) -> list[Candidate]:
    """The references first."""
    precisions = ("fp32", "bf16") if device == "cpu" else ("fp32", "bf16", "fp16")
    found = [Candidate(EngineConfig(kind=kind, precision=each)) for kind in ("eager", "compiled") for each in precisions]
    return [found[0], Candidate(EngineConfig(), keeps_memory=True), *found[1:]] if device == "cpu" else found


def tasks(candidate: Candidate) -> list[Task]:
    """What its looks are asked for in each round."""
    counts = FEW_COUNTS if candidate.engine.kind == "eager" else COUNTS
    return [WHOLE, BOXES, *(_growing(count) for count in counts)]


def take(lookers: Mapping[Candidate, Callable[[Task], Look]], repeats: int) -> dict[Candidate, Looks]:
    """Rounds in which every candidate does each of its tasks once; those to warm up aren't kept."""
    asked = {candidate: tasks(candidate) for candidate in lookers}
    taken: dict[Candidate, dict[Task, list[Look]]] = {each: {task: [] for task in asked[each]} for each in lookers}
    for turn in rounds(WARMUP + repeats):
        for task in dict.fromkeys(task for own in asked.values() for task in own):
            for candidate in in_turn([each for each in lookers if task in asked[each]], turn):
                look = lookers[candidate](task)
                if turn >= WARMUP:
                    taken[candidate][task].append(look)
    return {candidate: looks for candidate, looks in taken.items()}


def table(taken: Mapping[Candidate, Looks]) -> list[dict[str, Any]]:
    """Rows of the whole, of its parts, and of growing numbers of detections, for one engine after the other."""
    wholes = {candidate: np.array(_milliseconds(looks[WHOLE])["whole"]) for candidate, looks in taken.items()}
    references = {("ratio_kept" if each.keeps_memory else "ratio"): wholes[each] for each in wholes if _is_reference(each)}
    rows = []
    for candidate, looks in taken.items():
        whole, boxes = wholes[candidate], np.array(_milliseconds(looks[BOXES])["whole"])
        parts = _milliseconds(looks[_growing(WHOLE.detections)])
        ratios = [ratio(whole, reference, name) for name, reference in references.items()]
        columns = {name: value for each in ratios for name, value in each.items()} | spread(
            "mask_branch_share", 1 - boxes / whole
        )
        own = [
            {"detections": _found(looks[WHOLE]), "part": "whole", **row(whole), **columns},
            {"detections": _found(looks[BOXES]), "part": "without masks", **row(boxes)},
            *({"detections": _found(looks[WHOLE]), "part": part, **row(times)} for part, times in parts.items()),
            *_growth({task.detections: own for task, own in looks.items() if task.by_part}),
        ]
        rows += [{"engine": candidate.name, **each} for each in own]
    return rows


def _is_reference(candidate: Candidate) -> bool:
    return candidate.engine == EngineConfig()


def _growing(count: int) -> Task:
    return Task(detections=count, by_part=True)


def _growth(looks: Mapping[int, Sequence[Look]]) -> list[dict[str, Any]]:
    """Rows of each number of detections, and of how time grows with it."""
    rows, before, assembly = [], {}, {}
    for count, own in looks.items():
        parts = _milliseconds(own)
        assembly[count] = np.array(parts.pop(ASSEMBLY))
        before[count] = np.sum(list(parts.values()), axis=0)
        for part, times in (("up to assembly", before[count]), (ASSEMBLY, assembly[count])):
            rows.append({"detections": _found(own), "part": f"detections={count}: {part}", **row(times)})
    few, many = min(looks), max(looks)
    slopes = np.polyfit(list(assembly), np.array(list(assembly.values())), 1)[0]
    growth = spread("growth_percent", 100 * (before[many] / before[few] - 1)) | spread("slope_ms_per_detection", slopes)
    return [*rows, {"detections": _found(looks[many]), "part": "growth", "n": len(slopes), **growth}]


def _milliseconds(looks: Sequence[Look]) -> dict[str, list[float]]:
    """{part: of each look}."""
    return {part: [look.milliseconds[part] for look in looks] for part in looks[0].milliseconds}


def _found(looks: Sequence[Look]) -> int:
    return looks[-1].found


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
            with _told("compiling the engines"):  # in other processes, so that those timed hold nothing of a compiler's
                for candidate in chosen:
                    if candidate.engine.kind == "compiled":
                        with closing(RemoteLooker(candidate, threads, tiny)) as compiling:
                            _each_task(candidate, compiling)
            lookers: dict[Candidate, Callable[[Task], Look]] = {
                candidate: open_ones.enter_context(closing(RemoteLooker(candidate, threads, tiny))) for candidate in chosen
            }
        else:
            model, image = network(device, tiny), picture(device, tiny)
            lookers = {candidate: Looker(model, image, candidate.engine) for candidate in chosen}
        with _told("loading the engines"):
            for candidate, looker in lookers.items():
                _each_task(candidate, looker)
        return table(take(lookers, repeats))


def _each_task(candidate: Candidate, looker: Callable[[Task], Look]) -> None:
    for task in tasks(candidate):
        looker(task)


@contextmanager
def _told(what: str) -> Iterator[None]:
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
    if options.out:
        write_csv(options.out / "inference.csv", rows, options.device)
        save(options.out / "inference.png", draw(rows, device_name(options.device)))


if __name__ == "__main__":
    main()
