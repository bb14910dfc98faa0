"""Stages in worker processes on this machine, never with more threads than cores: too many make all of them crawl.

A training by several processes (`runtime.devices` × `runtime.nodes`) gets them all on this machine.
Stages that measure time run alone, after everything else that could run. Workers have sessions of their own, so that Ctrl-C
reaches the launcher only: the first makes workers save and leave, the second kills them.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from experiments.kinds import KINDS, Kind
from experiments.launch.base import Event, Events, Outcome, Queue, record_stages
from experiments.launch.crew import Crew
from experiments.launch.stopping import counted_interrupts
from experiments.plan import Plan, Stage
from experiments.store import Store, read_events
from experiments.worker import BUSY, DONE, INTERRUPTED, PARENT, THREAD_VARIABLES
from yolact.hardware import usable_cores

POLL_SECONDS = 0.1
BUSY_SECONDS = 2.0
WORKER = (sys.executable, "-m", "experiments.worker")


@dataclass
class _Job:
    stage: Stage
    crew: Crew
    log: Path
    offset: int


@dataclass
class Pool:
    """The launcher `--launcher pool`."""

    workers: int | None = None
    """Most processes at once; None takes as many as the cores carry."""
    cores: int = field(default_factory=usable_cores)
    kinds: Mapping[str, Kind] = field(default_factory=lambda: KINDS)
    command: Sequence[str] = WORKER
    """What starts a worker; results folder and stage id are appended."""

    def run(self, plan: Plan, chosen: set[str], store: Store, events: Events) -> Outcome:
        queue = Queue(plan, chosen, store)
        record_stages(queue, store)
        jobs: list[_Job] = []
        not_before: dict[str, float] = {}
        told = 0
        with counted_interrupts() as stop:
            try:
                while jobs or (not stop and queue.ready()):
                    for job in list(jobs):
                        if self._poll(job, queue, store, events, not_before):
                            jobs.remove(job)
                    if stop.asked > told:
                        told = stop.asked
                        _signal(jobs, signal.SIGTERM if told == 1 else signal.SIGKILL)
                    if not stop:
                        self._fill(jobs, queue, store, events, not_before)
                    time.sleep(POLL_SECONDS)
            finally:
                _signal(jobs, signal.SIGTERM)
            return queue.outcome(bool(stop))

    def _fill(self, jobs: list[_Job], queue: Queue, store: Store, events: Events, not_before: dict[str, float]) -> None:
        """Start what fits."""
        now = time.monotonic()
        ready = [stage for stage in queue.ready() if not_before.get(stage.id, 0.0) <= now]
        for stage in sorted(ready, key=lambda stage: self._alone(stage)):
            if self._fits(stage, jobs):
                queue.start(stage.id)
                jobs.append(self._start(stage, store))
                events(Event(stage.id, "started"))

    def _alone(self, stage: Stage) -> bool:
        return self.kinds[stage.kind].exclusive

    def _fits(self, stage: Stage, jobs: list[_Job]) -> bool:
        if not jobs:
            return True
        if self._alone(stage) or any(self._alone(job.stage) for job in jobs):
            return False
        if self.workers is not None and len(jobs) >= self.workers:
            return False
        if stage.content["device"] == "cuda" and any(job.stage.content["device"] == "cuda" for job in jobs):
            return False
        return sum(each.threads * each.processes for each in (stage, *(job.stage for job in jobs))) <= self.cores

    def _start(self, stage: Stage, store: Store) -> _Job:
        log = store.stage_folder(stage.id) / "log.jsonl"
        threads = dict.fromkeys(THREAD_VARIABLES, str(stage.threads))
        crew = Crew([*self.command, str(store.root), stage.id], {**threads, PARENT: str(os.getpid())}, stage.processes)
        return _Job(stage, crew, log, log.stat().st_size if log.exists() else 0)

    def _poll(self, job: _Job, queue: Queue, store: Store, events: Events, not_before: dict[str, float]) -> bool:
        """Pass the job's news on; returns whether it has ended."""
        code = job.crew.poll()
        _forward(job, events)
        if code is None:
            return False
        stage_id = job.stage.id
        if code == BUSY:
            events(Event(stage_id, "waiting", {"message": job.crew.last_words()}))
            not_before[stage_id] = time.monotonic() + BUSY_SECONDS
            queue.put_back(stage_id)
            return True
        state = {DONE: "done", INTERRUPTED: "interrupted"}.get(code, "failed")
        if job.crew.killed() and store.state(stage_id) == "done":
            state = "done"  # Python no longer hears signals while it closes down: Ctrl-C then ends what has published already
        message = {} if state == "done" else {"message": self._why(job, code, store)}
        events(Event(stage_id, state, message))
        for blocked in queue.end(stage_id, state):
            events(Event(blocked, "blocked", {"by": stage_id}))
        job.crew.close()
        return True

    def _why(self, job: _Job, code: int, store: Store) -> str:
        status = store.stage(job.stage.id).status
        killed = job.crew.killed()
        if status.state == "failed" and status.error:
            return "; ".join(filter(None, (status.error["message"], killed)))
        if killed:
            return f"{killed}; `yolact run` goes on from its checkpoint"
        return job.crew.last_words() or f"the worker ended with status {code}"


def _forward(job: _Job, events: Events) -> None:
    """Pass on the complete lines that were added to the stage's log."""
    added, job.offset = read_events(job.log, job.offset)
    for event in added:
        events(Event(job.stage.id, event.get("event", "info"), event))


def _signal(jobs: list[_Job], number: int) -> None:
    for job in jobs:
        job.crew.signal(number)
