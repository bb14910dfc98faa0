"""What Fast NMS costs beside the greedy ones, as boxes, anchors and classes grow.

Question: at YOLACT-550's 19,248 anchors and 80 classes, is Fast NMS faster than standard NMS, and from how many boxes on?
Cost: about three minutes on two cores. To reproduce:

    python -m benchmarks nms --out results/reference/cpu

Protocol: `yolact.ops.nms.suppress` alone (boxes are decoded, scores are probabilities), thresholds as in the paper (score .05,
IoU .5, 200 boxes per class, 100 detections). The methods alternate on the same boxes; 30 rounds, medians with quartiles. Three
sweeps, from 19,248 anchors, 80 classes and 30 objects: the number of objects, of anchors, of classes.

Boxes are generated (`scene`): every object has a class and draws a cluster of 40 anchors, whose boxes are its own with corners
moved by a tenth of its sides (standard deviation) and whose foreground probability is .98 of the logistic function of a normal
deviate (mean 1, standard deviation 1.5); most of that goes to the object's class, the rest to one that it is taken for. All
other anchors are background: random boxes whose scores share less than .02. `above` counts the anchors whose best score passes
the threshold, `candidates` the pairs of anchor and class that do, which are what the greedy methods sort; `ratio` is standard
NMS's time over the method's own.

Writes nms.csv and nms.png; on a GPU (--device cuda), with that GPU's name in the column `hardware`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from analysis.figures.style import REFERENCE, house_style, legend, new_figure
from benchmarks.common.command import parse
from benchmarks.common.figures import curves
from benchmarks.common.results import write_results
from benchmarks.common.timing import interleaved, ratio, row
from yolact.config import InferenceConfig
from yolact.ops.nms import suppress

METHODS = ("fast", "standard", "cross_class", "traditional")
CLUSTER = 40
"""Anchors that an object draws."""
BASE = {"objects": 30, "anchors": 19_248, "classes": 80}
TINY_BASE = {"objects": 2, "anchors": 400, "classes": 3}
SWEEPS = {
    "objects": (1, 3, 10, 30, 100, 200, 480),
    "anchors": (1_203, 4_812, 19_248, 76_992),
    "classes": (1, 5, 20, 80, 320),
}
TINY_SWEEPS = {"objects": (1, 4), "anchors": (200, 400), "classes": (1, 3)}
_IMAGE = 550


def scene(objects: int, anchors: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(boxes (P, 4) xyxy fractions, scores (P, C)) as the module's docstring says; at most P / 40 objects."""
    random = np.random.default_rng(seed)
    objects = min(objects, anchors // CLUSTER)
    boxes, side = _boxes(random, anchors), slice(0, objects * CLUSTER)
    own = np.repeat(_boxes(random, objects), CLUSTER, axis=0)
    extent = np.tile(own[:, 2:] - own[:, :2], 2)
    boxes[side] = own + random.normal(0, 0.1, own.shape) * extent
    boxes = np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1).clip(0, 1)

    scores = random.uniform(0, 0.02 / classes, (anchors, classes))
    label = np.repeat(random.integers(classes, size=objects), CLUSTER)
    foreground = 0.98 / (1 + np.exp(-random.normal(1, 1.5, len(own))))
    share = random.beta(8, 2, len(own))
    taken_for = (label + random.integers(1, max(2, classes), len(own))) % classes
    scores[np.arange(len(own)), taken_for] = foreground * (1 - share)
    scores[np.arange(len(own)), label] = foreground * share
    order = random.permutation(anchors)
    return torch.tensor(boxes[order], dtype=torch.float32), torch.tensor(scores[order], dtype=torch.float32)


def _boxes(random: np.random.Generator, count: int) -> Any:
    """Boxes whose sides are log-normal about a seventh of the image, anywhere in it."""
    size = np.exp(random.normal(np.log(0.15), 0.6, (count, 2))).clip(0.02, 0.9)
    corner = random.uniform(0, 1, (count, 2)) * (1 - size)
    return np.concatenate([corner, corner + size], axis=1)


def measure(sweep: str, value: int, base: dict[str, int], repeats: int, device: str) -> Iterator[dict[str, Any]]:
    """A row for each method."""
    setting = {**base, sweep: value}
    boxes, scores = (part.to(device) for part in scene(**setting))
    configs = {name: InferenceConfig(suppression=name) for name in METHODS}
    threshold = configs["fast"].score_threshold
    counts = {
        "above": int((scores.amax(dim=1) > threshold).sum()),
        "candidates": int((scores > threshold).sum()),
    }
    samples = interleaved(
        {name: lambda config=config: suppress(boxes, scores, config, _IMAGE) for name, config in configs.items()}, repeats
    )
    for name, times in samples.items():
        kept = len(suppress(boxes, scores, configs[name], _IMAGE).anchors)
        faster = ratio(times, samples["standard"])
        yield {"device": device, "sweep": sweep, **setting, **counts, "method": name, "kept": kept, **row(times), **faster}


def crossover(rows: Sequence[dict[str, Any]]) -> float | None:
    """Anchors above the threshold at which Fast and standard NMS take as long, between the measured ones on logarithmic axes.

    None where one of them is faster at every density.
    """
    times = {
        name: {row["above"]: row["median_ms"] for row in rows if row["sweep"] == "objects" and row["method"] == name}
        for name in ("fast", "standard")
    }
    above = np.array(sorted(times["fast"]), dtype=float)
    lead = np.log([times["standard"][count] / times["fast"][count] for count in above])
    changes = np.flatnonzero(np.sign(lead[1:]) != np.sign(lead[:-1]))
    if not len(changes):
        return None
    first, logs = changes[0], np.log(above)
    part = lead[first] / (lead[first] - lead[first + 1])
    return float(np.exp(logs[first] + part * (logs[first + 1] - logs[first])))


def finding(rows: Sequence[dict[str, Any]]) -> str:
    """One sentence."""
    even = crossover(rows)
    if even is not None:
        return f"Fast and standard NMS take as long at about {even:.0f} anchors above the threshold"
    fast, standard = (
        sum(row["median_ms"] for row in rows if row["sweep"] == "objects" and row["method"] == name)
        for name in ("fast", "standard")
    )
    return f"{'Fast' if fast < standard else 'Standard'} NMS is the faster one at every measured density"


@house_style
def draw(rows: Sequence[dict[str, Any]], hardware: str) -> Figure:
    """A panel for each sweep."""
    figure = new_figure(3.6, width=10)
    panels = figure.subplots(1, 3, sharey=True)
    for axes, (sweep, x) in zip(panels, {"objects": "above", "anchors": "anchors", "classes": "classes"}.items(), strict=True):
        curves(axes, [row for row in rows if row["sweep"] == sweep], x, "method")
        axes.set(xscale="log", yscale="log", xlabel=f"{x}{' the score threshold (anchors)' if x == 'above' else ''}")
    panels[0].set_ylabel("time per image (ms)")
    even = crossover(rows)
    if even is not None:
        panels[0].axvline(even, color=REFERENCE, linestyle=":", linewidth=1)
    panels[1].set_title(f"{finding(rows)}. {hardware}", fontsize=9, loc="center")
    legend(figure, *panels[0].get_legend_handles_labels())
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every sweep; print, and write where asked."""
    options = parse(__doc__, arguments)
    base, sweeps = (TINY_BASE, TINY_SWEEPS) if options.tiny else (BASE, SWEEPS)
    rows = []
    for sweep, values in sweeps.items():
        for value in values:
            for each in measure(sweep, value, base, options.repeats, options.device):
                rows.append(each)
                print(f"{sweep} {value}: {each['method']} {each['median_ms']:.2f} ms", flush=True)
    print(finding(rows))
    write_results(options.out, "nms", rows, draw, options.device)
