"""A worker of `python -m benchmarks training`: runs the steps of one case with one checkout's code, one per request.

It uses of the project only what any of its versions has. Run with that checkout in PYTHONPATH.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cases import batch_of, batches_of, network

LOADER = "-loader"
LEARNING_RATE = {"toy": 1e-4, "r50": 1e-5}


class StepClock:
    """Answers a question with the time of the step that it asked for, and the last one with what there is to say then."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
        self._begun: tuple[float, float] | None = None

    def wait(self) -> None:
        """End a step, if there was one, and wait for the next question."""
        if self._begun is not None:
            self.answer([now - then for now, then in zip(_clocks(), self._begun, strict=True)])
        sys.stdin.readline()
        self._begun = _clocks()

    def answer(self, value: Any) -> None:
        print(json.dumps(value), file=self._answers, flush=True)


def load(case: str, batch: int, steps: int, folder: Path, clock: StepClock) -> dict[str, Any]:
    """Make batches."""
    loader = iter(batches_of(case, batch, steps, folder))
    for _ in range(steps):
        clock.wait()
        next(loader)
    return {"losses": [], "parts": []}


def train(case: str, batch: int, steps: int, precision: str, clock: StepClock) -> dict[str, Any]:
    """Train; gives the loss of every step and the seconds of its parts."""
    from yolact.config import TrainingConfig
    from yolact.training import loop as training

    model, parts = network(case), []
    made = batch_of(batch, model.image_size, model.num_classes)

    def batches(start: int) -> Iterator[Any]:
        for _ in range(steps):
            clock.wait()
            yield made

    def log(event: dict[str, Any]) -> None:
        if "seconds" in event:
            parts.append(event["seconds"])

    # a rate that keeps the random network from amplifying rounding, which is what the loss curves are compared for
    config = TrainingConfig(
        iterations=steps, batch_size=batch, log_every=1, precision=precision, lr=LEARNING_RATE[case], warmup_iterations=0
    )
    history = training.train(model, batches, config, log=log)
    return {"losses": [row["loss"] for row in history.rows], "parts": parts}


def main(case: str, batch: int, steps: int, precision: str, folder: Path) -> None:
    """All steps, and the answer to one question more."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(0)
    clock = StepClock()
    if case.endswith(LOADER):
        end = load(case.removesuffix(LOADER), batch, steps, folder, clock)
    else:
        end = train(case, batch, steps, precision, clock)
    clock.wait()
    clock.answer(end)


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


if __name__ == "__main__":
    _case, _batch, _steps, _precision, _folder = sys.argv[1:]
    main(_case, int(_batch), int(_steps), _precision, Path(_folder))
