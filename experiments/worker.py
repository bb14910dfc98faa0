"""`python -m experiments.worker RESULTS STAGE_ID`: runs one recorded stage in a process of its own.

It gets the id alone; everything else lies in the results folder. Several processes that train together are each started so: by
the worker pool, by `torchrun --nproc-per-node 2 -m experiments.worker RESULTS STAGE_ID`, or by srun.
SIGTERM and SIGINT make a training save itself and leave, whichever of its processes they reach. A worker whose parent has died
does the same. Exit status: 0 done, 1 failed, 3 interrupted, 4 another process has the stage.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence

from experiments.attempt import describe
from experiments.kinds import KINDS, Kind
from experiments.lock import LockLost, StageBusy
from experiments.store import Store
from experiments.take_part import take_part
from yolact.errors import UserError

DONE, FAILED, INTERRUPTED, BUSY = 0, 1, 3, 4
PARENT = "YOLACT_PARENT_PID"
"""Environment variable with the pid of the launcher; without it a worker runs on its own."""
PARENT_SECONDS = 0.25
"""How often a worker looks whether its parent still lives."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def main(arguments: Sequence[str], kinds: Mapping[str, Kind] = KINDS) -> int:
    """Run the stage; returns the exit status."""
    if len(arguments) != 2:
        print("usage: python -m experiments.worker RESULTS STAGE_ID", file=sys.stderr)
        return 2
    store, stage_id = Store(arguments[0]), arguments[1]
    stop = _stop_on_signals()
    _stop_with_parent(stop)
    try:
        limit_threads(store.stage(stage_id).record["threads"])
        state = take_part(store, stage_id, kinds, stop.is_set)
    except (StageBusy, LockLost) as error:
        print(error, file=sys.stderr)
        return BUSY
    except (UserError, OSError) as error:
        print(describe(error), file=sys.stderr)
        return FAILED
    return {"done": DONE, "failed": FAILED, "interrupted": INTERRUPTED}[state]


def limit_threads(threads: int) -> None:
    """Keep numerical libraries to this many threads; must come before torch is imported."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(threads)


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _stop_with_parent(stop: threading.Event) -> None:
    parent = int(os.environ.get(PARENT, "0"))
    if not parent:
        return

    def watch() -> None:
        while os.getppid() == parent:
            if stop.wait(PARENT_SECONDS):
                return
        stop.set()

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
