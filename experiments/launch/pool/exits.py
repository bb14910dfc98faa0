"""Outcome of a stage whose worker has ended."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.launch.pool.processes import Workers
from experiments.run.worker import BUSY, DONE, INTERRUPTED
from experiments.store.folder import Store
from experiments.store.states import State


@dataclass(frozen=True)
class Exit:
    """Final state of a stage, or the need to start it again."""

    state: State
    """done | failed | interrupted | again"""
    message: str = ""
    unbatched: bool = False
    """Start it again at once, in a separate worker."""


def exit_of(store: Store, stage_id: str, code: int, workers: Workers, batch: bool) -> Exit:
    """Derive a stage's outcome from its worker's exit status and the results folder.

    Args:
        batch: whether the worker had other stages too, which may have caused the status or the kill.
    """
    killed = workers.killed()
    if batch:
        return _in_batch(store, stage_id, code, workers)
    if code == BUSY:
        return Exit(State.AGAIN, workers.error_line())
    if killed and store.state(stage_id) == State.DONE:
        # Python no longer handles signals while it shuts down: Ctrl-C may then kill a worker that has already published
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
