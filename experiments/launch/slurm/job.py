"""The callable of a SLURM job, which runs one recorded stage by its id.

submitit pickles a `StageJob` by reference, so the job runs the snapshot's code.

SLURM sends SIGUSR2 shortly before the time limit, and together with SIGTERM when it preempts. Either makes the stage save.
After SIGUSR2 the job queues itself again through submitit. After only SIGTERM it does not, because that may be `scancel`;
it stays until it is killed, because SLURM requeues a preempted job only if it hasn't ended by itself.
submitit would exit from within its signal handler, at any instruction; here its handler is called after saving.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from submitit import JobEnvironment
from submitit.helpers import DelayedSubmission

from experiments.launch.slurm.reasons import BLOCKED, TOO_SHORT
from experiments.launch.slurm.record import write_record
from experiments.run.attempt import describe
from experiments.run.ranks import take_part
from experiments.run.worker import BUSY, FAILED, INTERRUPTED, limit_threads
from experiments.stages.kind import Kind
from experiments.store.folder import StageView, Store
from experiments.store.lease import LockLost, StageBusy
from experiments.store.states import State
from yolact.errors import UserError
from yolact.runtime.memory import keep_freed_memory

BUSY_SECONDS = 5.0
KILL_SECONDS = 900.0
"""How long to wait after SIGTERM: longer than any sensible grace time."""

PREEMPTION_SECONDS = 1.0
"""Maximum time from SIGUSR2 to the SIGTERM of a preemption; without SIGTERM, SIGUSR2 means the time limit."""


class StageJob:
    """The callable of one job."""

    def __init__(self, results: Path, stage_id: str, experiment: str, folder: str, kinds: str) -> None:
        self.results, self.stage_id, self.experiment, self.folder, self.kinds = results, stage_id, experiment, folder, kinds

    def __call__(self) -> None:
        """Run the stage. The exit status is that of `experiments.run.worker`, or one of `slurm_reasons`."""
        stop = _Stop()
        store = Store(self.results)
        leads = JobEnvironment().global_rank == 0
        try:
            view = store.stage(self.stage_id)
            if leads:
                write_record(store, self.stage_id, JobEnvironment().job_id, self.experiment, self.folder)
            limit_threads(view.record["threads"])
            keep_freed_memory()
            _leave_if_blocked(store, view)
            before = _checkpoint(view)
            state = self._attempt(store, stop)
        except LockLost as error:
            _leave(BUSY, str(error))
        except (UserError, OSError) as error:
            _leave(FAILED, describe(error))
        if state == State.FAILED:
            _leave(FAILED, (view.status.error or {}).get("message", "the stage failed"))
        if state == State.INTERRUPTED and leads:  # the other processes of a training only exit
            stop.leave(progress=_checkpoint(view) != before)

    def checkpoint(self) -> DelayedSubmission:
        """Return the same job for submitit to queue again. All state is in the stage's folder."""
        return DelayedSubmission(self)

    def _attempt(self, store: Store, stop: _Stop) -> State:
        """Run the stage and return its final state; wait while another process works on it."""
        told = False
        while not stop():
            try:
                return take_part(store, self.stage_id, _kinds(self.kinds), stop)
            except StageBusy as busy:
                if not told:
                    print(f"waiting: {busy}", file=sys.stderr)
                    told = True
                time.sleep(BUSY_SECONDS)
        return State.INTERRUPTED


class _Stop:
    """State of received signals, and the job's reaction to them."""

    def __init__(self) -> None:
        user = getattr(signal, f"SIG{JobEnvironment.USR_SIG}")
        self.requeue = signal.getsignal(user)
        self.user, self.terminate = False, False
        signal.signal(user, self._note_user)
        signal.signal(signal.SIGTERM, self._note_terminate)

    def __call__(self) -> bool:
        return self.user or self.terminate

    def leave(self, progress: bool) -> None:
        """End the job after its stage was interrupted: requeue it, or wait to be killed."""
        end = time.monotonic() + KILL_SECONDS
        while not self.user and time.monotonic() < end:
            time.sleep(0.1)
        if not self.user:
            _leave(INTERRUPTED, "told to stop, and saved")
        time.sleep(PREEMPTION_SECONDS)
        if not progress and not self.terminate:
            _leave(TOO_SHORT, "the time limit came before the next checkpoint; raise `time` in the cluster's file")
        assert callable(self.requeue)
        self.requeue(signal.Signals[f"SIG{JobEnvironment.USR_SIG}"], None)

    def _note_user(self, *_: object) -> None:
        self.user = True

    def _note_terminate(self, *_: object) -> None:
        self.terminate = True


def _kinds(reference: str) -> Mapping[str, Kind]:
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


def _leave_if_blocked(store: Store, view: StageView) -> None:
    for needed in view.record["inputs"].values():
        state = store.state(needed)
        if state != State.DONE:
            _leave(BLOCKED, f"{needed} is {state}; `yolact run` submits both again")


def _checkpoint(view: StageView) -> list[tuple[str, int, int]]:
    """Names, sizes and times of the files in the checkpoint folder. They change when a stage has made progress."""
    files = [path for path in (view.folder / "checkpoint").rglob("*") if path.is_file() and path.name != "source.json"]
    return sorted((path.name, status.st_size, status.st_mtime_ns) for path in files for status in [path.stat()])


def _leave(status: int, message: str) -> None:
    print(message, file=sys.stderr, flush=True)
    sys.exit(status)
