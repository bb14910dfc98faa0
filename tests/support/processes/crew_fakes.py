"""A kind of stage worked on by several processes that need no torch. Run as a script it is a worker, as `fakes.py`."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # as a script, find the checkout

from experiments.run import worker
from experiments.stages.kind import Kind, StageContext
from tests.support.processes import fakes
from yolact.errors import UserError
from yolact.runtime.files import write_text


def meet(ctx: StageContext) -> None:
    """Followers leave a file each; rank 0 waits for all of them. Process 1 may end otherwise, as `ends` says."""
    place = ctx.data_root / ctx.checkpoint.parent.name
    place.mkdir(parents=True, exist_ok=True)
    if ctx.ranks.rank:
        if ctx.ranks.rank == 1 and ctx.fields["ends"] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if ctx.ranks.rank == 1 and ctx.fields["ends"] == "failed":
            raise UserError("process 1 has no card")
        write_text(place / f"rank{ctx.ranks.rank}", f"{ctx.ranks.local_rank} {os.environ['OMP_NUM_THREADS']}")
        return
    expected = [place / f"rank{rank}" for rank in range(1, ctx.ranks.size)]
    end = time.monotonic() + 30
    while not all(path.exists() for path in expected) and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(ctx.fields.get("pause", 0.0))
    write_text(ctx.output / "met.txt", "\n".join(path.read_text() for path in expected))


KINDS = {"meet": Kind(1, lambda config, split: {}, f"{__name__}:meet", distributed=True), **fakes.KINDS}
WORKER = (sys.executable, str(Path(__file__).resolve()))


def stage(devices: int, **fields):
    """A meeting of so many processes."""
    made = fakes.stage("meet", **{"ends": "done", **fields})
    return type(made)(made.id, made.content, {**made.location, "devices": devices, "nodes": 1})


if __name__ == "__main__":
    sys.exit(worker.main(sys.argv[1:], kinds=KINDS))
