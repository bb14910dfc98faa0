"""What became of a stage when its worker has ended."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.launch.pool.processes import Workers
from experiments.run.worker import BUSY, DONE, INTERRUPTED
from experiments.store.folder import Store
from experiments.store.states import State


@dataclass(frozen=True)
class Exit:
    """How a stage ended, or that it has to be started again."""

    state: State
    """done | failed | interrupted | again"""
    message: str = ""
    unbatched: bool = False
    """Again at once, but in a worker without other stages."""


def exit_of(store: Store, stage_id: str, code: int, workers: Workers, batch: bool) -> Exit:
    """From the exit status of its worker, and what the results folder says.

    Args:
        batch: the worker had other stages too, so that the status may be theirs, and a kill their fault.
    """
    killed = workers.killed()
    if batch:
        return _in_batch(store, stage_id, code, workers)
    if code == BUSY:
        return Exit(State.AGAIN, workers.error_line())
    if killed and store.state(stage_id) == State.DONE:
        # Python no longer handles signals while it closes down: Ctrl-C then ends what has published already
        return Exit(State.DONE)
    state = {DONE: State.DONE, INTERRUPTED: State.INTERRUPTED}.get(code, State.FAILED)
    return Exit(state, "" if state == State.DONE else _why(store, stage_id, code, workers))


def _in_batch(store: Store, stage_id: str, code: int, workers: Workers) -> Exit:
    status = store.stage(stage_id).status
    if status.state in (State.DONE, State.FAILED):
        return Exit(status.state, status.error["message"] if status.error else "")
    if status.state == State.RUNNING:
        return Exit(State.AGAIN, "another process works on it")
    if status.state == State.INTERRUPTED and code in (INTERRUPTED, BUSY):
        return Exit(State.INTERRUPTED, "its worker was told to stop")
    return Exit(State.AGAIN, f"{workers.killed() or workers.error_line()}; next it is tried alone", unbatched=True)


def _why(store: Store, stage_id: str, code: int, workers: Workers) -> str:
    status, killed = store.stage(stage_id).status, workers.killed()
    if status.state == State.FAILED and status.error:
        return "; ".join(filter(None, (status.error["message"], killed)))
    if killed:
        return f"{killed}; `yolact run` goes on from its checkpoint"
    return workers.error_line() or f"the worker ended with status {code}"
