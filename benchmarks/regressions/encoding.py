"""What it costs to write masks down: encoding as RLE, by itself and behind the network's work on the next image.

Cost: about four minutes on two cores. To reproduce:

    python -m benchmarks encoding --threads 1 --out results/reference/cpu

Protocol: `benchmarks/common/timing.py`. `encoding`: the masks of 100 discs with wavy edges, radii 10 to 120 pixels, in 640 x
480, by `yolact.ops.rle.encode` and by pycocotools from the same (n, H, W) array. `prediction`: YOLACT-550 with ResNet-50, 100
detections in 640 x 480, the mean of four images in a row: the network alone (`no records`), with the records made in line (`in
line`), and by a thread as the `predict` stage does (`behind`). `hidden` is the share of the encoding that `behind` saves. The
thread needs a core of its own: with fewer PyTorch threads than cores it has one. `ratio`: against pycocotools, and against `in
line`.

Writes encoding.csv and encoding.png."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from analysis.figures.style import house_style, new_figure
from benchmarks.common.command import parse
from benchmarks.common.figures import grouped
from benchmarks.common.results import write_results
from benchmarks.common.sized import Run, Size, prepare
from benchmarks.common.timing import interleaved, ratio, row, spread
from experiments.stages.predict import BEHIND
from yolact.evaluation.results import to_records
from yolact.inference.overlap import behind
from yolact.ops import rle

IMAGES = 4
"""Run in one call, one after the other."""
CATEGORIES = tuple(range(1, 1 + Size().classes))


def discs(count: int, height: int, width: int, seed: int = 0) -> NDArray[np.bool_]:
    """(count, height, width) masks of discs with wavy edges, cut by the image's border."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    masks = np.zeros((count, height, width), bool)
    for mask in masks:
        y, x = rows - random.uniform(0, height), columns - random.uniform(0, width)
        radius = random.uniform(10, 120) * height / 480
        mask[:] = np.hypot(x, y) < radius * (1 + 0.1 * np.sin(9 * np.arctan2(y, x)))
    return masks


def by_pycocotools(masks: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """`rle.encode`, the plain way."""
    encoded = coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))
    return [{"size": list(masks.shape[1:]), "counts": each["counts"].decode("ascii")} for each in encoded]


def ways(run: Run) -> dict[str, Callable[[], object]]:
    """IMAGES runs in each of the three ways."""

    def alone() -> None:
        for _ in range(IMAGES):
            run()

    def in_line() -> list[Any]:
        return [to_records(run()[0], number, CATEGORIES) for number in range(IMAGES)]

    def overlapped() -> list[Any]:
        records: list[Any] = []
        with behind(lambda found, number: records.append(to_records(found, number, CATEGORIES)), BEHIND) as hand_on:
            for number in range(IMAGES):
                hand_on(run()[0], number)
        return records

    return {"no records": alone, "in line": in_line, "behind": overlapped}


def measure(repeats: int, device: str, tiny: bool) -> list[dict[str, Any]]:
    """The rows of both parts."""
    masks = discs(3 if tiny else 100, *((48, 64) if tiny else (480, 640)))
    encoders = {"pycocotools": by_pycocotools, "edges": rle.encode}
    samples = interleaved({name: partial(encode, masks) for name, encode in encoders.items()}, repeats)
    rows = [_row("encoding", name, times, samples["pycocotools"]) for name, times in samples.items()]
    runs = interleaved(ways(prepare(Size(detections=3 if tiny else 100), device, tiny)), repeats)
    each = {name: [time / IMAGES for time in times] for name, times in runs.items()}
    rows += [_row("prediction", name, times, each["in line"]) for name, times in each.items()]
    alone, in_line, overlapped = (np.array(times) for times in each.values())
    rows[-1] |= spread("hidden", (in_line - overlapped) / np.median(in_line - alone))
    return rows


def _row(what: str, way: str, times: Sequence[float], reference: Sequence[float]) -> dict[str, Any]:
    return {"what": what, "way": way, **row(times), **ratio(times, reference)}


@house_style
def draw(rows: Sequence[dict[str, Any]], hardware: str) -> Figure:
    """Both parts, by way."""
    figure = new_figure(3.4)
    panels = figure.subplots(2, 1, height_ratios=[2, 3])
    for axes, what in zip(panels, ("encoding", "prediction"), strict=True):
        grouped(axes, [each for each in rows if each["what"] == what], "what", "way")
    figure.suptitle(f"Masks as records, per image; {hardware}", fontsize=9)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure; print, and write where asked."""
    options = parse(__doc__ or "", arguments)
    rows = measure(options.repeats, options.device, options.tiny)
    for each in rows:
        print(f"{each['what']}, {each['way']}: {each['median_ms']:.2f} ms, {each['ratio']:.2f} x", flush=True)
    print(f"hidden behind the network: {rows[-1]['hidden']:.2f} of the encoding")
    write_results(options.out, "encoding", rows, draw, options.device)
