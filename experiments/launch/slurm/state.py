"""The scheduler's states of a results folder's stages. The run folder is authoritative; these states are hints.

    states = scheduler_states(store)        # {stage id: SchedulerState} of stages that were submitted and aren't done
    cancelled = cancel(store, stage_ids)    # ids of the stages whose jobs were cancelled

Three sources are queried in turn, each for the jobs missing from the one before: squeue (jobs that wait or run), sacct (ended
jobs, if accounting is on), `scontrol show job` (jobs that ended minutes ago). A job that none of them lists is "gone".
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
"""Minimum interval between queries of a command that follows stages; SLURM's controller serves all users."""


@dataclass(frozen=True)
class SchedulerState:
    """State of a stage's job."""

    job_id: str
    """In SLURM's format, such as "12" or "12_3"."""
    state: JobState
    reason: str
    """In words: what a pending job waits for, or why an ended one ended; else ""."""
    node: str
    """Node that it runs or ran on; "" if it has not started."""
    log: Path
    """The job's standard error; the file may not exist."""

    @property
    def alive(self) -> bool:
        """Whether the job waits or runs, so that its stage needs no other job."""
        return self.state in ALIVE


Records = Mapping[str, JobRecord]
"""By stage id."""
Ask = Callable[[Records], dict[str, Answer]]
"""{job id: SLURM's answer}."""


def scheduler_answers(records: Records) -> dict[str, Answer]:
    """{job id: SLURM's answer} of these jobs, by at most three calls of its commands for any number of jobs."""
    arrays = {record.array_id for record in records.values()}
    answers = queued(arrays)
    left = [record for record in records.values() if record.job_id not in answers]
    if not left:
        return answers
    since = min(datetime.fromisoformat(record.submitted) for record in left)
    return {**ended({record.array_id for record in left}, since), **answers}


class PolledScheduler:
    """`scheduler_answers` for a command that shows states repeatedly: SLURM is queried at most once in `ASK_SECONDS`.

    In between the last answer or error is repeated; jobs that are not in it yet are pending.
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
    """{stage id: state of its last job} of every stage that was submitted and isn't done.

    Args:
        ask: a `PolledScheduler` if states are read repeatedly. It is not called if nothing was submitted.
    """
    records = dict(unfinished_records(store))
    if not records:
        return {}
    if shutil.which("squeue") is None:
        return {stage_id: _without_scheduler(store, record) for stage_id, record in records.items()}
    answers = ask(records)
    return {stage_id: _state(store, stage_id, record, answers) for stage_id, record in records.items()}


def queued_stages(store: Store) -> set[str]:
    """Stages whose jobs wait or run; without SLURM on this machine, all that were submitted and are not done.

    Raises:
        SchedulerError: SLURM doesn't answer.
    """
    return {stage_id for stage_id, job in scheduler_states(store).items() if job.alive or job.state == JobState.UNKNOWN}


def cancel(store: Store, stage_ids: Iterable[str]) -> list[str]:
    """Cancel the waiting or running jobs of these stages; return the stages whose jobs were cancelled.

    A running training saves a checkpoint before it exits. Jobs that other stages of the results folder need are not cancelled.
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
    if record.cancelled and state == JobState.CANCELLED:  # sacct names the user, but not the command
        reason = _cancelled_by_us(answer.node)
    return dataclasses.replace(found, state=state, reason=reason)


def _cancelled_by_us(node: str) -> str:
    return "by yolact cancel" if node else "by yolact cancel, before it began"


def _without_scheduler(store: Store, record: JobRecord) -> SchedulerState:
    return SchedulerState(record.job_id, JobState.UNKNOWN, "this machine has no squeue to ask", "", record.log(store))
