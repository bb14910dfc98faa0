"""How close each section of YOLACT-550 with ResNet-50 comes to what the machine can do: a roofline.

Question: of the time that each section takes, how much does this machine need at least for that arithmetic and those bytes?
Cost: about five minutes on two cores. To reproduce:

    python -m benchmarks roofline --out results/reference/cpu

Protocol: batch 1, noise of 640 x 480, 100 detections, random weights, both engines in fp32 and in bf16
(`yolact/inference/engines/`). Work is counted by `benchmarks/common/counting.py`, of the eager engine (the compiled one moves
fewer bytes): operations of convolutions and matrix products, and the bytes of every operator's arguments and results. The
machine's rates are measured in the same run: the product of two square matrices in that precision (side 2048; 8192 on a GPU),
and a copy of 256 MiB, read and written. Sections are timed by `yolact.inference.speed.SectionClock`, 30 runs that alternate
with the two rates; medians with quartiles. fp32 on a GPU is without TF32.

`bound_ms` = the larger of operations / product rate and bytes / copy rate; `achieved` = bound_ms / median_ms. It may pass 1:
what one operator leaves in a cache the next one reads without the memory, and a convolution may need fewer operations than it
counts (Winograd), so 1 is a reference rate and no upper limit.

Writes roofline.csv and roofline.png; on a GPU (--device cuda), with that GPU's name in the column `hardware`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from torch.nn import functional

from analysis.figures.style import GRID, INK, MARKERS, OKABE_ITO, house_style, new_figure
from benchmarks.common.command import parse
from benchmarks.common.counting import Work, WorkCounter
from benchmarks.common.precision import full_float32
from benchmarks.common.results import write_results
from benchmarks.common.sized import Size, prepare
from benchmarks.common.timing import interleaved, row
from yolact.config.engine import EngineConfig
from yolact.models.one_stage.model import OneStage
from yolact.runtime.profiling import SectionClock, profiled

ENGINES = tuple(
    EngineConfig(kind=kind, precision=precision) for kind in ("eager", "compiled") for precision in ("fp32", "bf16")
)
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
RATES = ("matrix product", "copy")
WHOLE = "whole"
_COPIED = 2**28
_AROUND = ("preprocess", *OneStage.postprocess_sections)
"""Sections of either engine; the compiled engine's `network` is all others of the eager one."""


def measure(engine: EngineConfig, repeats: int, device: str, tiny: bool) -> Iterator[dict[str, Any]]:
    """A row for each rate of the machine, each section, and the whole."""
    run, clock, works = prepare(Size(), device, tiny, engine), SectionClock(torch.device(device)), _count(engine, device, tiny)
    stages: list[dict[str, float]] = []

    def run_by_stage() -> None:
        with profiled(clock):
            run()
        stages.append({name: nanoseconds / 1e6 for name, nanoseconds in clock.take().items()})

    side = 64 if tiny else 2048 if device == "cpu" else 8192
    product, product_work = _product(side, _DTYPES[engine.precision], device)
    copy, copy_work = _copy(_COPIED // (1024 if tiny else 1), device)
    with full_float32():
        samples = interleaved({"product": product, "copy": copy, "run": run_by_stage}, repeats)
    product_row, copy_row = row(samples["product"]), row(samples["copy"])
    rates = product_work.flops / product_row["median_ms"], copy_work.bytes / copy_row["median_ms"]
    head = {"device": device, "engine": engine.kind, "precision": engine.precision}
    yield {**head, "section": "matrix product", **_fields(product_work, product_row, rates)}
    yield {**head, "section": "copy", **_fields(copy_work, copy_row, rates)}
    counted = stages[-repeats:]
    for name, work in works.items():
        yield {**head, "section": name, **_fields(work, row([stage[name] for stage in counted]), rates)}
    every = Work(sum(work.flops for work in works.values()), sum(work.bytes for work in works.values()))
    bound = sum(_bound(work, rates)[0] for work in works.values())
    times = row([sum(stage.values()) for stage in counted])
    yield {**head, "section": WHOLE, **_fields(every, times, rates), **_reached(bound, times), "bound_by": "sum of sections"}


def _count(engine: EngineConfig, device: str, tiny: bool) -> dict[str, Work]:
    """{section of the engine: work of the eager one in that precision}; all that has weights is one section when compiled."""
    counter, run = WorkCounter(), prepare(Size(), device, tiny, engine.replace(kind="eager"))
    with profiled(counter):
        run()
    works = counter.found
    if engine.kind == "eager":
        return works
    parts = [works.pop(name) for name in list(works) if name not in _AROUND]
    network = Work(sum(part.flops for part in parts), sum(part.bytes for part in parts))
    return {"preprocess": works.pop("preprocess"), "network": network, **works}


def _product(side: int, dtype: torch.dtype, device: str) -> tuple[Callable[[], Any], Work]:
    """Of two square matrices; on the CPU as the 1 x 1 convolution that it is, since oneDNN multiplies faster on some processors
    than the library behind `torch.mm`."""
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    work = Work(2 * side**3, 3 * left.nbytes)
    if device != "cpu":
        result = torch.empty(side, side, device=device, dtype=dtype)
        return lambda: torch.mm(left, right, out=result), work
    maps = left.reshape(1, side // 32, 32, side).permute(0, 3, 1, 2)  # channels last
    kernels = right[:, :, None, None].contiguous(memory_format=torch.channels_last)
    return lambda: functional.conv2d(maps, kernels), work


def _copy(size: int, device: str) -> tuple[Callable[[], Any], Work]:
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source), Work(0, 2 * size)


def _fields(work: Work, times: dict[str, float], rates: tuple[float, float]) -> dict[str, Any]:
    """What a row says of work done in that time; `rates` in operations and bytes per millisecond."""
    bound, by = _bound(work, rates)
    return {
        "gflop": round(work.flops / 1e9, 6),
        "mbyte": round(work.bytes / 1e6, 6),
        "flop_per_byte": round(work.flops / work.bytes, 4),
        **times,
        "gflop_per_s": round(work.flops / times["median_ms"] / 1e6, 3),
        "gbyte_per_s": round(work.bytes / times["median_ms"] / 1e6, 3),
        **_reached(bound, times),
        "bound_by": by,
    }


def _bound(work: Work, rates: tuple[float, float]) -> tuple[float, str]:
    arithmetic, memory = work.flops / rates[0], work.bytes / rates[1]
    return (arithmetic, "arithmetic") if arithmetic > memory else (memory, "memory")


def _reached(bound: float, times: dict[str, float]) -> dict[str, float]:
    return {"bound_ms": round(bound, 5), "achieved": round(bound / times["median_ms"], 4)}


@house_style
def draw(rows: Sequence[dict[str, Any]], hardware: str) -> Figure:
    """Left, the roofline with the sections that compute; right, each section's time and its bound."""
    figure = new_figure(4.2, width=10)
    roof, bars = figure.subplots(1, 2)
    ways = list(dict.fromkeys((each["engine"], each["precision"]) for each in rows))
    order = _order(rows)
    sections = [name for name in order if name != WHOLE]
    for index, way in enumerate(ways):
        own = {each["section"]: each for each in rows if (each["engine"], each["precision"]) == way}
        _roofline(roof, own, OKABE_ITO[index], " ".join(way), order)
        for name, each in own.items():
            if name in sections:
                _bar(
                    bars,
                    each,
                    OKABE_ITO[index],
                    sections.index(name) + (index - (len(ways) - 1) / 2) * 0.8 / len(ways),
                    0.8 / len(ways),
                )
    roof.set(xscale="log", yscale="log", xlabel="operations per byte moved", ylabel="billion operations per second")
    roof.grid(which="both", color=GRID, linewidth=0.4)
    computing = {each["section"] for each in rows if each["gflop"]}
    for name in (each for each in order if each in computing):
        roof.plot([], [], _marker(name, order), color=INK, label=name)
    roof.legend(fontsize=8, ncols=2)
    bars.set_yticks(range(len(sections)), sections)
    bars.invert_yaxis()
    bars.set(xlabel="time (ms); dark lines: the work at the machine's rates")
    bars.grid(axis="x")
    figure.suptitle(f"YOLACT-550, ResNet-50, batch 1; {hardware}", fontsize=9)
    return figure


def _order(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The sections in the order of their work, then the whole."""
    names = [name for name in dict.fromkeys(each["section"] for each in rows) if name not in (*RATES, WHOLE)]
    last = OneStage.postprocess_sections
    return [*(name for name in names if name not in last), *(name for name in names if name in last), WHOLE]


def _roofline(axes: Any, own: dict[str, Any], colour: str, label: str, order: Sequence[str]) -> None:
    peak, rate = own["matrix product"]["gflop_per_s"], own["copy"]["gbyte_per_s"]
    places = [0.1, peak / rate, max(1000.0, 4 * peak / rate)]
    axes.plot(places, [min(peak, rate * place) for place in places], color=colour, label=label)
    for name, each in own.items():
        if each["gflop"] and name not in RATES:
            axes.plot(each["flop_per_byte"], each["gflop_per_s"], _marker(name, order), color=colour)


def _marker(section: str, order: Sequence[str]) -> str:
    return "*" if section == WHOLE else MARKERS[order.index(section) % len(MARKERS)]


def _bar(axes: Any, each: dict[str, Any], colour: str, middle: float, height: float) -> None:
    axes.barh(middle, each["median_ms"], height, color=colour)
    axes.plot([each["bound_ms"]] * 2, [middle - height / 2, middle + height / 2], color=INK)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every engine in every precision; print, and write where asked."""
    options = parse(__doc__, arguments)
    rows = []
    for engine in ENGINES[:2] if options.tiny else ENGINES:  # compiling takes a minute
        for each in measure(engine, options.repeats, options.device, options.tiny):
            rows.append(each)
            print(
                f"{engine.kind} {engine.precision} {each['section']}: {each['median_ms']:.2f} ms, bound {each['bound_ms']:.2f}"
            )
    write_results(options.out, "roofline", rows, draw, options.device)
