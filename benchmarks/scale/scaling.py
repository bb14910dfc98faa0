"""How latency and memory of YOLACT-550 with ResNet-50 grow with batch, image size, prototypes, detections and classes.

Question: what does the network cost as each of them grows, the others as published? Cost: about five minutes on two cores, four
gigabytes of memory. To reproduce:

    python -m benchmarks scaling --out results/reference/cpu

Protocol: random weights, noise of 640 x 480; the clock runs from uint8 images in the device's memory to masks of that size
(`yolact.models.base.Model.predict`, the eager reference in fp32). All configurations alternate; 30 rounds, medians with
quartiles. `found` says how many detections there were in each image: the score threshold is set to give as many as asked for
(`benchmarks/common/sized.py`). Latency does not depend on weights in any other way. `per_image_ms` is the median divided by the
batch. Peak memory is that of a process that builds the network and runs it twice; `base_mib` is what it held before.

Writes scaling.csv and scaling.png; on a GPU (--device cuda), with that GPU's name in the column `hardware`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from matplotlib.figure import Figure

from analysis.figures.style import OKABE_ITO, house_style, new_figure
from benchmarks.common.command import parse
from benchmarks.common.figures import curves
from benchmarks.common.memory import peaks
from benchmarks.common.results import write_results
from benchmarks.common.sized import Size, prepare
from benchmarks.common.timing import interleaved, row

SWEEPS = {
    "batch": (1, 2, 4),
    "image_size": (300, 400, 550, 700),
    "k": (8, 32, 64, 128),
    "detections": (1, 10, 100, 200),
    "classes": (1, 20, 80, 320),
}
TINY_SWEEPS = {"batch": (1, 2), "detections": (1, 100)}
WARMUP = 2
_WORDS = {"batch": "images in a batch", "image_size": "side of the input (px)", "k": "prototypes"}


def configurations(sweeps: Mapping[str, Sequence[int]]) -> dict[Size, list[str]]:
    """Each configuration once, with the sweeps that it belongs to: the published one to all of them."""
    found: dict[Size, list[str]] = {}
    for sweep, values in sweeps.items():
        for value in values:
            found.setdefault(replace(Size(), **{sweep: value}), []).append(sweep)
    return found


def run_twice(size: Size, device: str, tiny: bool) -> None:
    """What peak memory is measured of."""
    run = prepare(size, device, tiny)
    run()
    run()


def measure(sweeps: Mapping[str, Sequence[int]], repeats: int, device: str, threads: int, tiny: bool) -> list[dict[str, Any]]:
    """A row for each configuration of each sweep."""
    sizes = configurations(sweeps)
    memory = dict(zip(sizes, peaks(run_twice, [(size, device, tiny) for size in sizes], device, threads), strict=True))
    looks = {size: prepare(size, device, tiny) for size in sizes}
    found = {size: min(map(len, look())) for size, look in looks.items()}
    names = {str(size): size for size in sizes}
    samples = interleaved({name: looks[size] for name, size in names.items()}, repeats, WARMUP)
    rows = []
    for sweep in sweeps:
        for name, size in names.items():
            if sweep in sizes[size]:
                times = row(samples[name])
                each = {"per_image_ms": round(times["median_ms"] / size.batch, 4)}
                head = {"sweep": sweep, **asdict(size), "found": found[size], "precision": "fp32"}
                rows.append({**head, **times, **each, **memory[size]})
    return rows


@house_style
def draw(rows: Sequence[dict[str, Any]], hardware: str) -> Figure:
    """Above, latency; below, peak memory; a column for each sweep."""
    sweeps = list(dict.fromkeys(row["sweep"] for row in rows))
    figure = new_figure(4.6, width=2.6 * len(sweeps))
    panels = figure.subplots(2, len(sweeps), sharey="row", sharex="col")
    for column, sweep in enumerate(sweeps):
        own = sorted((row for row in rows if row["sweep"] == sweep), key=lambda row: row[sweep])
        latency, memory = panels[0][column], panels[1][column]
        curves(latency, own, sweep, "sweep")
        known = [row for row in own if row["peak_mib"] is not None]
        memory.plot([row[sweep] for row in known], [row["peak_mib"] for row in known], "s-", color=OKABE_ITO[1])
        memory.set_xlabel(_WORDS.get(sweep, sweep))
        memory.grid()
    for line in panels:
        line[0].set_ylim(0, 1.05 * line[0].get_ylim()[1])
    panels[0][0].set_ylabel("latency of a batch (ms)")
    panels[1][0].set_ylabel("peak memory (MiB)")
    figure.suptitle(f"YOLACT-550, ResNet-50, fp32, eager; {hardware}. Bands: quartiles", fontsize=9)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every sweep; print, and write where asked."""
    options = parse(__doc__, arguments)
    sweeps = TINY_SWEEPS if options.tiny else SWEEPS
    rows = measure(sweeps, options.repeats, options.device, options.threads, options.tiny)
    for each in rows:
        print(f"{each['sweep']} {each[each['sweep']]}: {each['median_ms']:.1f} ms, peak {each['peak_mib']} MiB", flush=True)
    write_results(options.out, "scaling", rows, draw, options.device)
