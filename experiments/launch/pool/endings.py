"""What became of a stage when its worker has ended."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.launch.pool.forkserver_client import Fork
from experiments.launch.pool.processes import Crew
from experiments.run.worker import BUSY, DONE, INTERRUPTED
from experiments.store.folder import Store
from experiments.store.states import State


@dataclass(frozen=True)
class Ending:
    """How a stage ended, or that it has to be started again."""

    state: State
    """done | failed | interrupted | again"""
    message: str = ""
    alone: bool = False
    """Again at once, but not together with others."""


def ending(store: Store, stage_id: str, code: int, workers: Crew | Fork, shared: bool) -> Ending:
    """From the exit status of its worker, and what the results folder says.

    Args:
        shared: the worker had other stages too, so that the status may be theirs, and a kill their fault.
    """
    killed = workers.killed()
    if shared:
        return _of_several(store, stage_id, code, workers)
    if code == BUSY:
        return Ending(State.AGAIN, workers.last_words())
    if killed and store.state(stage_id) == State.DONE:
        # Python no longer handles signals while it closes down: Ctrl-C then ends what has published already
        return Ending(State.DONE)
    state = {DONE: State.DONE, INTERRUPTED: State.INTERRUPTED}.get(code, State.FAILED)
    return Ending(state, "" if state == State.DONE else _why(store, stage_id, code, workers))


def _of_several(store: Store, stage_id: str, code: int, workers: Crew | Fork) -> Ending:
    status = store.stage(stage_id).status
    if status.state in (State.DONE, State.FAILED):
        return Ending(status.state, status.error["message"] if status.error else "")
    if status.state == State.RUNNING:
        return Ending(State.AGAIN, "another process works on it")
    if status.state == State.INTERRUPTED and code in (INTERRUPTED, BUSY):
        return Ending(State.INTERRUPTED, "its worker was told to stop")
    return Ending(State.AGAIN, f"{workers.killed() or workers.last_words()}; next it is tried alone", alone=True)


def _why(store: Store, stage_id: str, code: int, workers: Crew | Fork) -> str:
    status, killed = store.stage(stage_id).status, workers.killed()
    if status.state == State.FAILED and status.error:
        return "; ".join(filter(None, (status.error["message"], killed)))
    if killed:
        return f"{killed}; `yolact run` goes on from its checkpoint"
    return workers.last_words() or f"the worker ended with status {code}"
