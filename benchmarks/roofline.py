"""How close each section of YOLACT-550 with ResNet-50 comes to what the machine can do: a roofline.

Question: of the time that each section takes, how much does this machine need at least for that arithmetic and those bytes?
Cost: about two minutes on two cores. To reproduce:

    python -m benchmarks.roofline --out results/reference/cpu

Protocol: batch 1, noise of 640 x 480, 100 detections, random weights, the eager engine in fp32 and in bf16 (autocast).
Work is counted by `benchmarks/counting.py`: operations of convolutions and matrix products, and the bytes of every operator's
arguments and results. The machine's rates are measured in the same run: the product of two square matrices in that precision
(side 2048; 8192 on a GPU), and a copy of 256 MiB, read and written. Sections are timed by `yolact.speed.SectionClock`, 30
looks taking turns with the two rates; medians with quartiles. fp32 on a GPU is without TF32.

`bound_ms` = the larger of operations / product rate and bytes / copy rate; `achieved` = bound_ms / median_ms. It may pass 1:
what one operator leaves in a cache the next one reads without the memory, and a convolution may need fewer operations than it
counts (Winograd).

Writes roofline.csv and roofline.png; on a GPU (--device cuda), with that GPU's name in the column `hardware`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from matplotlib.figure import Figure

from analysis.figures.style import GRID, INK, MARKERS, OKABE_ITO, house_style, new_figure
from benchmarks.command import parse
from benchmarks.counting import Work, WorkCounter
from benchmarks.figures import save
from benchmarks.gpu_agreement import full_float32
from benchmarks.sized import Size, prepare
from benchmarks.timing import interleaved, row, write_csv
from yolact.hardware import device_name
from yolact.speed import PRECISIONS, SectionClock

PRECISIONS_HERE = ("fp32", "bf16")
WHOLE = "whole"
_COPIED = 2**28


def measure(precision: str, repeats: int, device: str, tiny: bool) -> Iterator[dict[str, Any]]:
    """A row for each rate of the machine, each section, and the whole."""
    look, cast = prepare(Size(), device, tiny), _precision(precision, device)
    counter, clock = WorkCounter(), SectionClock(torch.device(device))
    with cast():
        look(counter)
    stages: list[dict[str, float]] = []

    def look_by_stage() -> None:
        with cast():
            look(clock)
        stages.append({name: nanoseconds / 1e6 for name, nanoseconds in clock.take().items()})

    side = 64 if tiny else 2048 if device == "cpu" else 8192
    product, product_work = _product(side, PRECISIONS[precision], device)
    copy, copy_work = _copy(_COPIED // (1024 if tiny else 1), device)
    with full_float32():
        samples = interleaved({"product": product, "copy": copy, "look": look_by_stage}, repeats)
    product_row, copy_row = row(samples["product"]), row(samples["copy"])
    rates = product_work.flops / product_row["median_ms"], copy_work.bytes / copy_row["median_ms"]
    head = {"device": device, "precision": precision}
    yield {**head, "section": "matrix product", **_fields(product_work, product_row, rates)}
    yield {**head, "section": "copy", **_fields(copy_work, copy_row, rates)}
    counted = stages[-repeats:]
    for name, work in counter.found.items():
        yield {**head, "section": name, **_fields(work, row([stage[name] for stage in counted]), rates)}
    every = Work(sum(work.flops for work in counter.found.values()), sum(work.bytes for work in counter.found.values()))
    bound = sum(_bound(work, rates)[0] for work in counter.found.values())
    times = row([sum(stage.values()) for stage in counted])
    yield {**head, "section": WHOLE, **_fields(every, times, rates), **_reached(bound, times), "bound_by": "sum of sections"}


def _precision(precision: str, device: str) -> Callable[[], AbstractContextManager[Any]]:
    return nullcontext if precision == "fp32" else lambda: torch.autocast(device, dtype=PRECISIONS[precision])


def _product(side: int, dtype: torch.dtype, device: str) -> tuple[Callable[[], Any], Work]:
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    result = torch.empty(side, side, device=device, dtype=dtype)
    return lambda: torch.mm(left, right, out=result), Work(2 * side**3, 3 * left.nbytes)


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
    for index, precision in enumerate(dict.fromkeys(each["precision"] for each in rows)):
        own = {each["section"]: each for each in rows if each["precision"] == precision}
        _roofline(roof, own, OKABE_ITO[index], precision)
        _bars(bars, own, OKABE_ITO[index], index)
    roof.set(xscale="log", yscale="log", xlabel="operations per byte moved", ylabel="billion operations per second")
    roof.grid(which="both", color=GRID, linewidth=0.4)
    for index, name in enumerate(_computing(own)):
        roof.plot([], [], MARKERS[index % len(MARKERS)], color=INK, label=name)
    roof.legend(fontsize=8, ncols=2)
    sections = [name for name in own if name not in ("matrix product", "copy", WHOLE)]
    bars.set_yticks(range(len(sections)), sections)
    bars.invert_yaxis()
    bars.set(xlabel="time (ms); the dark line: what it needs at least")
    bars.grid(axis="x")
    figure.suptitle(f"YOLACT-550, ResNet-50, batch 1, eager; {hardware}", fontsize=9)
    return figure


def _roofline(axes: Any, own: dict[str, Any], colour: str, precision: str) -> None:
    peak, rate = own["matrix product"]["gflop_per_s"], own["copy"]["gbyte_per_s"]
    places = [0.1, peak / rate, max(1000.0, 4 * peak / rate)]
    axes.plot(places, [min(peak, rate * place) for place in places], color=colour, label=precision)
    for index, name in enumerate(_computing(own)):
        axes.plot(own[name]["flop_per_byte"], own[name]["gflop_per_s"], MARKERS[index % len(MARKERS)], color=colour)


def _computing(own: dict[str, Any]) -> list[str]:
    return [name for name, each in own.items() if each["gflop"] and name != "matrix product"]


def _bars(axes: Any, own: dict[str, Any], colour: str, index: int) -> None:
    rows = [each for name, each in own.items() if name not in ("matrix product", "copy", WHOLE)]
    height = 0.8 / len(PRECISIONS_HERE)
    for place, each in enumerate(rows):
        middle = place + (index - (len(PRECISIONS_HERE) - 1) / 2) * height
        axes.barh(middle, each["median_ms"], height, color=colour)
        axes.plot([each["bound_ms"]] * 2, [middle - height / 2, middle + height / 2], color=INK)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every precision; print, and write where asked."""
    options = parse(__doc__, arguments)
    rows = []
    for precision in PRECISIONS_HERE:
        for each in measure(precision, options.repeats, options.device, options.tiny):
            rows.append(each)
            print(f"{precision} {each['section']}: {each['median_ms']:.2f} ms, {each['achieved']:.0%} of the bound", flush=True)
    if options.out:
        write_csv(options.out / "roofline.csv", rows, options.device)
        save(options.out / "roofline.png", draw(rows, device_name(options.device)))


if __name__ == "__main__":
    main()
