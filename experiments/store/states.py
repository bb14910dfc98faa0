"""States of stages in the results folder, in a launch, in a plan and in a scheduler's queue."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """State of a stage."""

    PLANNED = "planned"
    WAITING = "waiting"
    """Its job is in a scheduler's queue, or another process works on it."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    DAMAGED = "damaged"
    """Its records can't be read."""
    BLOCKED = "blocked"
    """An input failed."""
    SUBMITTED = "submitted"
    BUSY = "busy"
    """Another process works on it, so this one did not."""
    AGAIN = "again"
    """To be started again."""


STORED = (State.PLANNED, State.RUNNING, State.DONE, State.FAILED, State.INTERRUPTED)
"""States in `status.json`."""
SHOWN = (State.PLANNED, State.WAITING, *STORED[1:], State.DAMAGED)
"""States that `yolact status` shows."""
ENDS = (State.DONE, State.FAILED, State.BLOCKED, State.INTERRUPTED, State.SUBMITTED)
"""States in which a launch leaves a stage."""


class Why(StrEnum):
    """Why a planned stage runs, or doesn't."""

    NEW = "new"
    CACHED = "cached"
    CHANGED = "changed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    RUNNING = "running"


class JobState(StrEnum):
    """State of a scheduler's job."""

    PENDING = "pending"
    RUNNING = "running"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"
    OUT_OF_MEMORY = "out of memory"
    NODE_FAILED = "node failed"
    PREEMPTED = "preempted"
    GONE = "gone"
    """No command of the scheduler lists the job any more."""
    UNKNOWN = "unknown"
    """This machine has no scheduler."""


ALIVE = (JobState.PENDING, JobState.RUNNING, JobState.SUSPENDED)
"""States of a job whose stage needs no other."""
LOST = (JobState.FAILED, JobState.TIMED_OUT, JobState.OUT_OF_MEMORY, JobState.NODE_FAILED, JobState.PREEMPTED)
"""Ends of a job that its stage could not record itself."""

COLOURS: Mapping[str, str] = {
    State.PLANNED: "dim",
    State.WAITING: "cyan",
    State.RUNNING: "blue",
    State.DONE: "green",
    State.FAILED: "red",
    State.INTERRUPTED: "yellow",
    State.DAMAGED: "red",
    State.BLOCKED: "red",
    State.SUBMITTED: "cyan",
    Why.NEW: "cyan",
    Why.CACHED: "green",
    Why.CHANGED: "yellow",
}
"""Colour of each state in a terminal."""
