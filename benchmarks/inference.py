"""Inference by stage and engine: YOLACT-550 with ResNet-50, batch 1, from a 640 x 480 image in memory to full-size masks.

Claims: on two CPU cores the compiled engine is at least 2.2 times as fast as the eager reference in fp32 and 4 times in bf16;
the mask branch costs at most a fifth of the whole; time grows by less than 10 % from 1 to 100 detections up to assembly.
Cost: about twenty minutes on two cores, of which compiling takes half the first time. To reproduce:

    python benchmarks/inference.py --threads 2 --out results/reference/cpu

Writes inference.csv, a row per engine and part. Weights are random (seed 0) and the score threshold is 0, so that all anchors
and classes enter suppression and 100 detections come out, as many as are kept of a crowded picture; `detections` says how many
did. The image is noise. Engines take turns in one process (`benchmarks/timing.py`); `ratio` is eager's time divided by the
row's, round by round, with quartiles. Parts are timed in a pass of their own. Rows `detections=n` hold the time with
`max_detections` n, up to assembly (all but `assembly`), and of `assembly`. `mask_branch_share` is that of protonet,
coefficients and assembly: the whole without what it takes with `inference.masks` false.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch import Tensor

from benchmarks.command import parse
from benchmarks.timing import interleaved, ratio, row, write_csv
from yolact.build import build_model
from yolact.config import AnchorConfig, BackboneConfig, FPNConfig, InferenceConfig, PrototypeConfig
from yolact.model import Model
from yolact.presets import preset
from yolact.speed import SectionClock

SIZE, TINY_SIZE = (480, 640), (48, 64)
COUNTS = (1, 10, 25, 50, 100)


def engines(device: str) -> dict[str, dict[str, str]]:
    """{name: `inference.engine`}; the reference first."""
    precisions = ("fp32", "bf16") if device == "cpu" else ("fp32", "bf16", "fp16")
    found = {
        f"{kind} {precision}": {"kind": kind, "precision": precision}
        for kind in ("eager", "compiled")
        for precision in precisions
    }
    return found


def network(device: str, tiny: bool) -> Model:
    """The preset yolact_resnet50 with random weights, or a miniature of it."""
    chosen = preset("yolact_resnet50")
    config = chosen.model
    if tiny:
        config = config.replace(
            image_size=64,
            backbone=BackboneConfig(name="resnet_tiny", weights=None, width=4),
            fpn=FPNConfig(channels=8),
            anchors=AnchorConfig(scales=((8,), (16,), (24,), (32,), (48,))),
            mask_branch=PrototypeConfig(k=4, channels=8),
        )
    torch.manual_seed(0)
    return build_model(config, 3 if tiny else chosen.num_classes, pretrained=False).to(device).eval()


def measure(model: Model, image: Tensor, inference: InferenceConfig, chosen: dict[str, Any], repeats: int) -> list[dict]:
    """Rows of the whole, of its parts, of the mask branch's share and of growing numbers of detections."""
    variants = {name: inference.replace(engine=engine) for name, engine in chosen.items()}
    whole = interleaved({name: _call(model, image, config) for name, config in variants.items()}, repeats)
    boxes = interleaved({name: _call(model, image, config.replace(masks=False)) for name, config in variants.items()}, repeats)
    reference = whole[next(iter(whole))]
    rows = []
    for name, config in variants.items():
        found = len(model.predict([image], config)[0])
        share = float(np.median(np.subtract(whole[name], boxes[name])) / np.median(whole[name]))
        about = {"engine": name, "detections": found}
        rows.append({**about, "part": "whole", **row(whole[name]), **ratio(whole[name], reference), "mask_branch_share": share})
        rows.append({**about, "part": "without masks", **row(boxes[name])})
        rows += [{**about, "part": part, **row(times)} for part, times in _parts(model, image, config, repeats).items()]
        rows += _growing(model, image, config, name, repeats)
    return rows


def _call(model: Model, image: Tensor, config: InferenceConfig):
    return lambda: model.predict([image], config)


def _growing(model: Model, image: Tensor, config: InferenceConfig, name: str, repeats: int) -> list[dict[str, Any]]:
    rows = []
    for count in COUNTS:
        parts = _parts(model, image, config.replace(max_detections=count), repeats)
        before = np.sum([times for part, times in parts.items() if part != "assembly"], axis=0)
        for part, times in (("up to assembly", before), ("assembly", parts["assembly"])):
            rows.append({"engine": name, "detections": count, "part": f"detections={count}: {part}", **row(times)})
    return rows


def _parts(model: Model, image: Tensor, config: InferenceConfig, repeats: int) -> dict[str, list[float]]:
    """{section: milliseconds of each of `repeats` images}, after one of warm-up."""
    clock = SectionClock(image.device)
    taken = []
    for _ in range(repeats + 1):
        model.predict([image], config, sections=clock)
        taken.append(clock.take())
    return {name: [each[name] / 1e6 for each in taken[1:]] for name in taken[0]}


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Measure, print and, with --out, write inference.csv."""
    options = parse(__doc__ or "", arguments)
    model = network(options.device, options.tiny)
    size = TINY_SIZE if options.tiny else SIZE
    pixels = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    chosen = engines(options.device)
    with _told("preparing the engines"):
        for engine in chosen.values():
            for masks in (True, False):
                model.predict([pixels.to(options.device)], InferenceConfig(score_threshold=0.0, masks=masks, engine=engine))
    rows = measure(model, pixels.to(options.device), InferenceConfig(score_threshold=0.0), chosen, options.repeats)
    for each in rows:
        print(each, flush=True)
    if options.out:
        write_csv(options.out / "inference.csv", rows, options.device)
    return rows


@contextmanager
def _told(what: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
