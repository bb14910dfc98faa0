"""States of an experiment's stages, from the results folder and the scheduler."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.launch.slurm.query import SchedulerError
from experiments.launch.slurm.state import Ask, SchedulerState, scheduler_answers, scheduler_states
from experiments.store.folder import StageView, Store, StoreError, read_events
from experiments.store.log import TAIL_BYTES, tail
from experiments.store.states import LOST, State
from yolact.training.breakdown import limit

TAIL_LINES = 8


@dataclass(frozen=True)
class StageStatus:
    """State of one stage."""

    stage: str
    state: State
    """One of `SHOWN`. A stage whose job ended on it is "failed"."""
    wall_seconds: float | None = None
    error: str | None = None
    """Why it failed: the stage's error, else the scheduler's reason."""
    note: str = ""
    """What it waits for, where it runs, or its progress."""
    tail: tuple[str, ...] = ()
    """If failed or interrupted: the last lines of its log."""

    def to_data(self) -> dict[str, Any]:
        return asdict(self)


def stage_statuses(
    store: Store,
    ids: Iterable[str],
    warn: Callable[[str], None] = lambda message: None,
    ask: Ask = scheduler_answers,
) -> dict[str, StageStatus]:
    """{stage id: status}. Stages that were never recorded are planned.

    Args:
        warn: called with a message if the scheduler does not answer; only the results folder counts then.
        ask: queries the scheduler about jobs; use a `PolledScheduler` if statuses are read repeatedly.
    """
    jobs: dict[str, SchedulerState] = {}
    try:
        jobs = scheduler_states(store, ask)
    except SchedulerError as error:
        warn(f"{error} (what follows is the results folder's word alone)")
    return {stage_id: _status(store, stage_id, jobs.get(stage_id)) for stage_id in ids}


def _status(store: Store, stage_id: str, job: SchedulerState | None) -> StageStatus:
    if not store.has(stage_id):
        return StageStatus(stage_id, State.PLANNED)
    view = store.stage(stage_id)
    try:
        _, status = view.record, view.status
    except StoreError as problem:
        return StageStatus(stage_id, State.DAMAGED, error=str(problem))
    state, error = status.state, status.error["message"] if status.error else None
    if job is not None and state not in (State.RUNNING, State.DONE):
        if job.alive:
            state, error = State.WAITING, None
        elif job.state in LOST and state != State.FAILED:
            state, error = State.FAILED, f"{job.state}: {job.reason}" if job.reason else job.state
    tail: tuple[str, ...] = ()
    if state in (State.FAILED, State.INTERRUPTED):
        tail = tuple(last_lines(view, job.log if job else None))
    return StageStatus(stage_id, state, status.wall_seconds, error, _note(view, state, job), tail)


def _note(view: StageView, state: str, job: SchedulerState | None) -> str:
    parts = []
    if state in (State.RUNNING, State.INTERRUPTED):
        last = _last_event(view.folder / "log.jsonl")
        parts.append(event_text(last) if last else "")
    if job is not None and state not in (State.DONE, State.FAILED):
        parts.append(f"job {job.job_id} {job.state}{f' on {job.node}' if job.node else ''}")
        parts.append(job.reason)
    if state != State.DONE and (aside := view.set_aside):
        parts.append(f"set aside, made by other code: {', '.join(path.name for path in aside)}")
    return ", ".join(part for part in parts if part)


def last_lines(view: StageView, printed: Path | None = None, count: int = TAIL_LINES) -> list[str]:
    """The last lines of a stage's log, then those of its job's output."""
    events = _tail_events(view.folder / "log.jsonl")
    lines = [event_line(event) for event in events][-count:]
    if printed is not None:
        lines += tail(printed)[-count:]
    return lines


def event_line(event: Mapping[str, Any]) -> str:
    """Format one event of log.jsonl as a line: time, kind, text."""
    time = str(event.get("time", ""))[:19].replace("T", " ")
    return f"{time}  {event.get('event', 'info'):<7} {event_text(event)}"


def event_text(event: Mapping[str, Any]) -> str:
    """The text of an event."""
    if event.get("event") == "step":
        known = ("time", "event", "iteration", "iterations", "seconds")
        more = [f"{name} {_number(value)}" for name, value in event.items() if name not in known]
        more += [words] if (words := limit(event.get("seconds", {}))) else []
        return ", ".join([f"at {event.get('iteration')}/{event.get('iterations')}", *more])
    if "message" in event:
        return str(event["message"])
    return json.dumps({key: value for key, value in event.items() if key not in ("time", "event")}, ensure_ascii=False)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _tail_events(path: Path) -> list[dict[str, Any]]:
    size = path.stat().st_size if path.exists() else 0
    return read_events(path, max(0, size - TAIL_BYTES))[0]


def _last_event(path: Path) -> dict[str, Any] | None:
    events = _tail_events(path)
    return events[-1] if events else None
