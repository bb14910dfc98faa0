"""Stage kinds for jobs of a real scheduler, beside those of `tests.support.processes.fakes`. Jobs import this module by
name."""

from __future__ import annotations

import os
import time

from experiments.stages.kind import Interrupted, Kind, StageContext
from tests.support.processes import fakes
from yolact.runtime.files import write_json


def idle(ctx: StageContext) -> None:
    """Works without a checkpoint until it is told to stop."""
    while not ctx.should_stop():
        time.sleep(0.1)
    raise Interrupted("with nothing saved")


def eat(ctx: StageContext) -> None:
    """Takes more memory than it was given."""
    meal = bytearray(ctx.fields["megabytes"] * 2**20)
    time.sleep(30)
    write_json(ctx.output / "eaten.json", len(meal))


def look(ctx: StageContext) -> None:
    """Writes down what a job sees of its resources."""
    names = ("CUDA_VISIBLE_DEVICES", "SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS", "SEEN_SETUP")
    write_json(ctx.output / "seen.json", {name: os.environ.get(name) for name in names})


KINDS = {
    **fakes.KINDS,
    "idle": Kind(1, lambda config, split: {}, f"{__name__}:idle"),
    "eat": Kind(1, lambda config, split: {}, f"{__name__}:eat"),
    "look": Kind(1, lambda config, split: {}, f"{__name__}:look"),
}
