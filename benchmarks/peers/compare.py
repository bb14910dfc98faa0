"""YOLACT beside other instance segmenters that anybody can install: one image, one protocol, one run.

Question: on this machine, from a 640 x 480 image to 100 full-size masks, how long does each take? Cost: about four minutes on
two cores. To reproduce, with all peers (the script makes a separate environment, which needs a package index), or with
those that are installed anyway (torchvision's):

    benchmarks/peers/peers.sh --out results/reference/cpu
    python -m benchmarks peers --out results/reference/cpu

Protocol: the same noise image, batch 1, fp32, the same threads, all in one process and alternating; 30 rounds, medians with
quartiles. The clock runs from the image in memory, in the form that the package takes (uint8), to masks at the image's size:
resizing, network, suppression and mask pasting are inside, reading the image is outside. Each package runs its own path with
its own defaults, except: at most 100 detections, and the score threshold. fp32 on a GPU is without TF32.

Weights are random, since speed depends on them through the number of detections alone. Batch norm takes the statistics of noise
and classification layers are scaled so that logits spread as a trained network's (standard deviation 3). The threshold is set
just below the score of the 100th detection found without one: the same detections come out, and suppression is given no more
boxes than they need. `masks` counts those that were assembled; ultralytics then drops empty ones. `ratio` is the time of eager
YOLACT over the peer's own. `published_ap` is the mask AP that the authors give for trained weights at that input on COCO
(val2017; YOLACT: test-dev) in percent; it is not measured here.

Writes peers.csv and peers.png; on a GPU (--device cuda), with that GPU's name in the column `hardware`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from matplotlib.figure import Figure

from analysis.figures.style import MARKERS, OKABE_ITO, house_style, new_figure
from benchmarks.common.command import parse
from benchmarks.common.precision import full_float32
from benchmarks.common.results import write_results
from benchmarks.common.timing import interleaved, ratio, row
from benchmarks.peers.installed import mask_rcnn, yolact
from benchmarks.peers.peer import Peer, calibrated

REFERENCE = "YOLACT-550 R-50"


def peers(device: str, tiny: bool) -> Iterator[Peer]:
    """All that are there: YOLACT first."""
    yield yolact(REFERENCE, "eager", device, tiny)
    if not tiny:  # compiling takes a minute
        yield yolact(f"{REFERENCE}, compiled", "compiled", device, tiny)
    for side in (64,) if tiny else (550, 800):
        yield mask_rcnn(side, device, tiny)
    if find_spec("ultralytics") is not None:
        from benchmarks.peers.yolo import segmenters

        yield from segmenters(device, tiny)


def measure(device: str, repeats: int, tiny: bool) -> list[dict[str, Any]]:
    """A row for each peer."""
    present = list(peers(device, tiny))
    thresholds = {peer.name: calibrated(peer) for peer in present}
    masks = {peer.name: len(peer.run(thresholds[peer.name])) for peer in present}
    with full_float32():
        samples = interleaved({peer.name: lambda peer=peer: peer.run(thresholds[peer.name]) for peer in present}, repeats)
    return [
        {
            "name": peer.name,
            "package": peer.package,
            "input": peer.input,
            "parameters_m": peer.parameters_m,
            "precision": "fp32",
            "score_threshold": thresholds[peer.name],
            "masks": masks[peer.name],
            **row(samples[peer.name]),
            **ratio(samples[peer.name], samples[REFERENCE]),
            "published_ap": peer.published_ap,
        }
        for peer in present
    ]


@house_style
def draw(rows: Sequence[dict[str, Any]], hardware: str) -> Figure:
    """Published mask AP against the latency measured here."""
    figure = new_figure(3.8)
    axes = figure.subplots()
    known = [each for each in rows if each["published_ap"] is not None]
    for index, each in enumerate(known):
        spread = [[each["median_ms"] - each["p25_ms"]], [each["p75_ms"] - each["median_ms"]]]
        axes.errorbar(each["median_ms"], each["published_ap"], xerr=spread, fmt=MARKERS[index % len(MARKERS)], capsize=3,
                      color=OKABE_ITO[index % len(OKABE_ITO)], markersize=8)  # fmt: skip
        place = (each["median_ms"], each["published_ap"])
        beside = [other for other in known[:index] if other["published_ap"] == each["published_ap"]]
        offset = (6, -13) if beside else (6, 5)  # one network by two engines: their names would lie on each other
        axes.annotate(f"{each['name']} ({each['input']})", place, xytext=offset, textcoords="offset points", fontsize=8)
    axes.set(xlabel="latency per image (ms, median and quartiles)", ylabel="published COCO mask AP (%)")
    axes.set_xlim(0, 1.4 * max(each["p75_ms"] for each in known))
    axes.margins(y=0.12)
    axes.grid()
    axes.set_title(f"Batch 1, fp32, 100 masks; {hardware}", fontsize=9)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Time whatever is installed; print, and write where asked."""
    options = parse(__doc__, arguments)
    rows = measure(options.device, options.repeats, options.tiny)
    for each in rows:
        print(f"{each['name']} ({each['package']}, {each['input']}): {each['median_ms']:.1f} ms for {each['masks']} masks")
    write_results(options.out, "peers", rows, draw, options.device)
