"""`python -m experiments.run.worker RESULTS STAGE_ID...`: run recorded stages in a separate process.

It gets only ids; everything else is in the results folder. Several stages must share work (`experiments.plan.sharing`). Each of
several processes that train together is started with this command: by the worker pool, by
`torchrun --nproc-per-node 2 -m experiments.run.worker RESULTS STAGE_ID`, or by srun. Without a stage, the process is a template
that the worker pool forks workers from (`experiments.run.forkserver`).
On SIGTERM and SIGINT to any of its processes a training saves a checkpoint and exits. A worker whose parent has died
does the same. Exit status: 0 done, 1 failed, 3 interrupted, 4 another process works on the stage; of several, the largest.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence

from experiments.run.attempt import describe
from experiments.run.forkserver import PARENT, serve
from experiments.run.ranks import take_part
from experiments.run.several import attempt_together
from experiments.stages.custom_code import import_from_working_directory
from experiments.stages.kind import Kind
from experiments.stages.table import KINDS
from experiments.store.folder import Store
from experiments.store.lease import LockLost, StageBusy
from experiments.store.states import State
from yolact.errors import UserError
from yolact.runtime.memory import keep_freed_memory

DONE, FAILED, INTERRUPTED, BUSY = 0, 1, 3, 4
_STATUS = {State.DONE: DONE, State.FAILED: FAILED, State.INTERRUPTED: INTERRUPTED, State.BUSY: BUSY}
PARENT_SECONDS = 0.25
"""Interval at which a worker checks that its parent is alive."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def main(arguments: Sequence[str], kinds: Mapping[str, Kind] = KINDS) -> int:
    """Run the stages; returns the exit status."""
    if not arguments:
        print("usage: python -m experiments.run.worker RESULTS STAGE_ID...", file=sys.stderr)
        return 2
    import_from_working_directory()
    store, stage_ids = Store(arguments[0]), list(arguments[1:])
    if not stage_ids:
        forked = serve(kinds)
        if forked is None:
            return DONE
        stage_ids = forked
    stop = _stop_on_signals()
    _stop_with_parent(stop)
    try:
        records = [store.stage(stage_id).record for stage_id in stage_ids]
        limit_threads(records[0]["threads"])
        keep_freed_memory()
        kind = kinds.get(records[0]["kind"])
        if kind is not None and kind.together:
            states = attempt_together(store, stage_ids, kinds, stop.is_set)
            return max(_STATUS[state] for state in states.values())
        return max(_STATUS[take_part(store, stage_id, kinds, stop.is_set)] for stage_id in stage_ids)
    except (StageBusy, LockLost) as error:
        print(error, file=sys.stderr)
        return BUSY
    except (UserError, OSError) as error:
        print(describe(error), file=sys.stderr)
        return FAILED


def limit_threads(threads: int) -> None:
    """Limit numerical libraries to this many threads; call it before torch is imported."""
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
