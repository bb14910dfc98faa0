"""Timed runs of one engine on one image, in this process or in a separate one.

YOLACT-550 with ResNet-50 and random weights (seed 0), an image of noise, 640 x 480. The score threshold is 0, so that all
anchors and classes enter suppression, and as many detections come out as are asked for.
"""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks import ROOT
from benchmarks.common.networks import IMAGE, TINY_IMAGE, noise
from benchmarks.common.sized import Size, sized
from benchmarks.common.timing import timed
from benchmarks.common.workers import Worker, serve
from yolact.config import InferenceConfig
from yolact.config.engine import EngineConfig
from yolact.errors import UserError
from yolact.inference.predictor import Predictor
from yolact.models.base import Model
from yolact.models.build import build_model
from yolact.runtime.memory import keep_freed_memory
from yolact.runtime.profiling import SectionClock, profiled


@dataclass(frozen=True)
class Candidate:
    """An engine, and what else its process does differently."""

    engine: EngineConfig
    keeps_memory: bool = False
    """Whether the process keeps the memory it frees (`yolact/runtime/memory.py`), as a compiled engine's does anyway."""

    @property
    def name(self) -> str:
        return f"{self.engine.kind} {self.engine.precision}" + (", memory kept" if self.keeps_memory else "")


@dataclass(frozen=True)
class Task:
    """What one run computes."""

    masks: bool = True
    detections: int = 100
    """At most."""
    by_part: bool = False
    """Time the engine's parts, the device waited for around each, in place of the whole."""


@dataclass(frozen=True)
class TimedRun:
    """Duration and result of one run."""

    milliseconds: dict[str, float]
    """Of each part, or of the `whole`."""
    found: int
    """Detections."""


class Runner:
    """A network on a device, run by one engine."""

    def __init__(self, model: Model, image: Tensor, engine: EngineConfig) -> None:
        self._predictor, self._image, self._engine = Predictor(model, engine), image, engine
        self._clock = SectionClock(image.device)

    def __call__(self, task: Task) -> TimedRun:
        config = InferenceConfig(score_threshold=0.0, masks=task.masks, max_detections=task.detections, engine=self._engine)
        with profiled(self._clock) if task.by_part else nullcontext():
            whole, found = timed(lambda: self._predictor.predict([self._image], config))
        parts = {name: nanoseconds / 1e6 for name, nanoseconds in self._clock.take().items()}
        return TimedRun(parts if task.by_part else {"whole": whole}, len(found[0]))


class RemoteRunner:
    """The same in a separate process, on the CPU."""

    def __init__(self, candidate: Candidate, threads: int, tiny: bool) -> None:
        about = {"engine": candidate.engine.to_data(), "keeps_memory": candidate.keeps_memory, "threads": threads, "tiny": tiny}
        command = [sys.executable, "-m", "benchmarks.engines.runners", json.dumps(about)]
        self._worker = Worker(command, ROOT)

    def __call__(self, task: Task) -> TimedRun:
        """
        Raises:
            WorkerError: the process has ended; its message stands on standard error.
        """
        return TimedRun(**self._worker.call(asdict(task)))

    def close(self) -> None:
        self._worker.close()


def network(device: str, tiny: bool) -> Model:
    """In inference mode, the same weights every time; `tiny`, a miniature of it."""
    chosen = sized(Size(), tiny)
    torch.manual_seed(0)
    return build_model(chosen.model, chosen.num_classes, pretrained=False).to(device).eval()


def picture(device: str, tiny: bool) -> Tensor:
    """(3, H, W) uint8 noise on the device."""
    return noise(1, TINY_IMAGE if tiny else IMAGE)[0].to(device)


def _work(engine: dict[str, Any], keeps_memory: bool, threads: int, tiny: bool) -> None:
    """What a `RemoteRunner`'s process does."""
    torch.set_num_threads(threads)
    if keeps_memory:
        keep_freed_memory()
    runner = Runner(network("cpu", tiny), picture("cpu", tiny), EngineConfig.from_data(engine))
    serve(lambda task: asdict(runner(Task(**task))))


if __name__ == "__main__":
    try:
        _work(**json.loads(sys.argv[1]))
    except UserError as error:
        sys.exit(str(error))
