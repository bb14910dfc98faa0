"""What the scheduler says of a results folder's stages. The run folder is the truth; this is a hint.

    states = scheduler_states(store)        # {stage id: SchedulerState} of stages that were submitted and aren't done
    cancelled = cancel(store, stage_ids)    # ids of the stages whose jobs were cancelled

Three sources, each for what the one before doesn't know: squeue (jobs that wait or run), sacct (ended jobs, where accounting is
on), `scontrol show job` (jobs that ended minutes ago). A job that none of them knows is "gone".
"""

from __future__ import annotations

import dataclasses
import math
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from experiments.launch.slurm.query import Answer, SchedulerError, ended, queued, scancel
from experiments.launch.slurm.reasons import why_ended, why_pending
from experiments.launch.slurm.record import JobRecord, note_cancelled, unfinished_records
from experiments.store.folder import Store
from experiments.store.states import ALIVE, JobState

ASK_SECONDS = 30.0
"""How often a command that follows stages may ask SLURM; its controller serves all users."""


@dataclass(frozen=True)
class SchedulerState:
    """What became of the job that a stage was handed to."""

    job_id: str
    """As SLURM prints it, such as "12" or "12_3"."""
    state: JobState
    reason: str
    """In words: what a pending job waits for, why an ended one ended; "" where there is nothing to say."""
    node: str
    """Where it runs or ran; "" where it didn't."""
    log: Path
    """What the job printed as errors; it may not exist."""

    @property
    def alive(self) -> bool:
        """Whether the job waits or runs, so that its stage needs no other."""
        return self.state in ALIVE


Records = Mapping[str, JobRecord]
"""By stage id."""
Ask = Callable[[Records], dict[str, Answer]]
"""What SLURM says of jobs, by job id."""


def scheduler_answers(records: Records) -> dict[str, Answer]:
    """What SLURM says of these jobs, by job id: at most three calls of its commands, however many jobs there are."""
    arrays = {record.array_id for record in records.values()}
    answers = queued(arrays)
    left = [record for record in records.values() if record.job_id not in answers]
    if not left:
        return answers
    since = min(datetime.fromisoformat(record.submitted) for record in left)
    return {**ended({record.array_id for record in left}, since), **answers}


class PolledScheduler:
    """`scheduler_answers` for a command that shows states again and again: SLURM is asked at most once in `ASK_SECONDS`.

    In between the last answer is kept, or the last error; jobs that it doesn't have yet are pending.
    """

    def __init__(self) -> None:
        self._asked = -math.inf
        self._answers: dict[str, Answer] = {}
        self._jobs: set[str] = set()
        self._error: SchedulerError | None = None

    def __call__(self, records: Records) -> dict[str, Answer]:
        jobs = {record.job_id for record in records.values()}
        if time.monotonic() - self._asked >= ASK_SECONDS:
            self._error = None
            try:
                self._answers, self._jobs = scheduler_answers(records), jobs
            except SchedulerError as error:
                self._error = error
            self._asked = time.monotonic()
        if self._error is not None:
            raise self._error
        return self._answers | {job_id: Answer(JobState.PENDING) for job_id in jobs - self._jobs}


def scheduler_states(
    store: Store, ask: Callable[[Records], dict[str, Answer]] = scheduler_answers
) -> dict[str, SchedulerState]:
    """The state of the last job of every stage that was submitted and isn't done, by stage id.

    Args:
        ask: a `PolledScheduler` if states are read again and again. It is not called if nothing was submitted.
    """
    records = dict(unfinished_records(store))
    if not records:
        return {}
    if shutil.which("squeue") is None:
        return {stage_id: _without_scheduler(store, record) for stage_id, record in records.items()}
    answers = ask(records)
    return {stage_id: _state(store, stage_id, record, answers) for stage_id, record in records.items()}


def queued_stages(store: Store) -> set[str]:
    """Stages whose jobs wait or run. Without SLURM on this machine, all that were submitted and are not done.

    Raises:
        SchedulerError: SLURM doesn't answer.
    """
    return {stage_id for stage_id, job in scheduler_states(store).items() if job.alive or job.state == JobState.UNKNOWN}


def cancel(store: Store, stage_ids: Iterable[str]) -> list[str]:
    """Cancel the jobs of these stages that wait or run; returns the stages whose jobs were cancelled.

    A running training saves itself before it leaves. Jobs that others of the results folder need stay untouched.
    """
    states = scheduler_states(store)
    found = {stage_id: states[stage_id].job_id for stage_id in stage_ids if stage_id in states and states[stage_id].alive}
    if found:
        scancel(found.values())
    for stage_id in found:
        note_cancelled(store, stage_id)
    return list(found)


def _state(store: Store, stage_id: str, record: JobRecord, answers: Mapping[str, Answer]) -> SchedulerState:
    answer = answers.get(record.job_id)
    log = record.log(store)
    if answer is None and record.cancelled:
        return SchedulerState(record.job_id, JobState.CANCELLED, _cancelled_by_us(""), "", log)
    if answer is None:
        return SchedulerState(record.job_id, JobState.GONE, "the scheduler no longer knows the job", "", log)
    found = SchedulerState(record.job_id, answer.state, "", answer.node, log)
    if answer.state == JobState.PENDING:
        return dataclasses.replace(found, reason=why_pending(store, stage_id, answer))
    if found.alive:
        return found
    state, reason = why_ended(answer, log)
    if record.cancelled and state == JobState.CANCELLED:  # sacct names who did, but not by what
        reason = _cancelled_by_us(answer.node)
    return dataclasses.replace(found, state=state, reason=reason)


def _cancelled_by_us(node: str) -> str:
    return "by yolact cancel" if node else "by yolact cancel, before it began"


def _without_scheduler(store: Store, record: JobRecord) -> SchedulerState:
    return SchedulerState(record.job_id, JobState.UNKNOWN, "this machine has no squeue to ask", "", record.log(store))
