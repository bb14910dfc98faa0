"""The job of a stage: `runs/<stage id>/job.json`, written at submission and again by the job when it starts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from experiments.store.durable import write_json
from experiments.store.folder import Store, StoreError
from experiments.store.states import State


@dataclass(frozen=True)
class JobRecord:
    """The last job that a stage was submitted in."""

    job_id: str
    """In SLURM's format: "12", or "12_3" for an element of an array."""
    experiment: str
    """`<experiment>-<scale>` it was submitted for."""
    folder: str
    """Folder of its array's files, relative to the results folder: batch script and output of jobs."""
    submitted: str
    """ISO 8601, UTC."""
    cancelled: bool = False
    """Whether the workbench cancelled it. SLURM does not record an array's element that was cancelled before it began."""

    @property
    def array_id(self) -> str:
        """The job id without the element's number."""
        return self.job_id.partition("_")[0]

    def log(self, store: Store) -> Path:
        """The job's standard error; the file may not exist. A requeued job appends to it."""
        return store.root / self.folder / f"{self.job_id}_0_log.err"


def read_record(store: Store, stage_id: str) -> JobRecord | None:
    """The stage's record; None if it was never submitted or the file cannot be read."""
    try:
        return JobRecord(**json.loads(_path(store, stage_id).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_record(store: Store, stage_id: str, job_id: str, experiment: str, folder: str) -> None:
    """Record the job of a stage."""
    submitted = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(_path(store, stage_id), asdict(JobRecord(job_id, experiment, folder, submitted)))


def note_cancelled(store: Store, stage_id: str) -> None:
    """Record that the stage's job was cancelled."""
    record = read_record(store, stage_id)
    if record is not None:
        write_json(_path(store, stage_id), {**asdict(record), "cancelled": True})


def unfinished_records(store: Store) -> Iterator[tuple[str, JobRecord]]:
    """(stage id, record) of every stage that was submitted and isn't done."""
    for path in sorted((store.root / "runs").glob("*/job.json")):
        stage_id = path.parent.name
        record = read_record(store, stage_id)
        if record is not None and not _done(store, stage_id):
            yield stage_id, record


def _done(store: Store, stage_id: str) -> bool:
    try:
        return store.state(stage_id) == State.DONE
    except StoreError:  # a damaged status counts as not done, and must not hide the jobs of other stages
        return False


def _path(store: Store, stage_id: str) -> Path:
    return store.stage_folder(stage_id) / "job.json"
