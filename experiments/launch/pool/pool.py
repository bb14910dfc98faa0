"""Stages in worker processes on this machine, never with more threads than cores: too many make all of them crawl.

Workers are forked from a process that has imported torch (`experiments.run.forkserver`), where the system can. Stages that
share
work (`experiments.plan.sharing`) and can start at the same time run in one worker; where it is killed, those that it leaves
unfinished are tried again one by one, so that the one at fault takes no other with it. A training by several processes
(`runtime.devices` × `runtime.nodes`) gets them all on this machine.
The longest remaining path goes first. Stages that measure time run alone, after everything else that could run; stages known to
need more memory together than there is don't run together. Workers have sessions of their own, so that Ctrl-C reaches the
launcher only: the first makes workers save and leave, the second kills them.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from experiments.launch.launcher import Event, Events, Outcome, Queue, record_stages
from experiments.launch.pool import forkserver_client as forks
from experiments.launch.pool.endings import Ending, ending
from experiments.launch.pool.forkserver_client import Fork, Template
from experiments.launch.pool.processes import Crew
from experiments.plan.build import Plan, Stage
from experiments.plan.sharing import batch_key
from experiments.run.forkserver import PARENT
from experiments.run.interrupts import counted_interrupts
from experiments.run.worker import THREAD_VARIABLES
from experiments.stages.kind import MOST_TOGETHER, Kind
from experiments.stages.table import KINDS
from experiments.store.folder import Store, read_events
from experiments.store.states import State
from yolact.runtime.hardware import usable_cores, usable_memory_bytes

POLL_SECONDS = 0.1
BUSY_SECONDS = 2.0
WORKER = (sys.executable, "-m", "experiments.run.worker")


@dataclass
class _Job:
    stages: list[Stage]
    """One, or several that share work."""
    workers: Crew | Fork
    logs: dict[str, Path]
    offsets: dict[str, int]

    @property
    def first(self) -> Stage:
        return self.stages[0]


@dataclass
class Pool:
    """The launcher `--launcher pool`."""

    workers: int | None = None
    """Most processes at once; None takes as many as the cores carry."""
    cores: int = field(default_factory=usable_cores)
    memory_bytes: int | None = field(default_factory=usable_memory_bytes)
    kinds: Mapping[str, Kind] = field(default_factory=lambda: KINDS)
    command: Sequence[str] = WORKER
    """What starts a worker; results folder and stage ids are appended."""
    warm: bool = forks.POSSIBLE
    """Fork workers from a template, and let stages share work; else each stage gets a process that starts from nothing."""

    def run(self, plan: Plan, chosen: set[str], store: Store, events: Events) -> Outcome:
        return _Running(self, Queue(plan, chosen, store), store, events).run()


class _Running:
    def __init__(self, pool: Pool, queue: Queue, store: Store, events: Events) -> None:
        self.pool, self.queue, self.store, self.events = pool, queue, store, events
        self.jobs: list[_Job] = []
        self.not_before: dict[str, float] = {}
        self.unshared: set[str] = set()
        """Stages that are not to share a worker again."""
        self.templates: dict[int, Template] = {}
        """By threads."""

    def run(self) -> Outcome:
        record_stages(self.queue, self.store)
        told = 0
        with counted_interrupts() as stop:
            try:
                while self.jobs or (not stop and self.queue.ready()):
                    self.jobs = [job for job in self.jobs if not self._ended(job, bool(stop))]
                    if stop.asked > told:
                        told = stop.asked
                        self._signal(signal.SIGTERM if told == 1 else signal.SIGKILL)
                    if not stop:
                        self._fill()
                    time.sleep(POLL_SECONDS)
            finally:
                self._signal(signal.SIGTERM)
                for template in self.templates.values():
                    template.close()
            return self.queue.outcome(bool(stop))

    def _fill(self) -> None:
        """Start what fits."""
        now = time.monotonic()
        ready = [stage for stage in self.queue.ready() if self.not_before.get(stage.id, 0.0) <= now]
        ready.sort(key=self._alone)
        while ready:
            stages = self._with_sharers(ready)
            ready = [stage for stage in ready if stage not in stages]
            if self._fits(stages):
                self._start(stages)

    def _with_sharers(self, ready: Sequence[Stage]) -> list[Stage]:
        """The first stage, and those of the others that it can share work with."""
        first = ready[0]
        key = self._common(first)
        if key is None or not self.pool.warm:
            return [first]
        return [first, *(stage for stage in ready[1:] if self._common(stage) == key)][:MOST_TOGETHER]

    def _common(self, stage: Stage) -> str | None:
        return None if stage.id in self.unshared else batch_key(stage, self.queue.stages, self.pool.kinds)

    def _alone(self, stage: Stage) -> bool:
        return self.pool.kinds[stage.kind].exclusive

    def _fits(self, stages: Sequence[Stage]) -> bool:
        first, running = stages[0], [job.first for job in self.jobs]
        if not running:
            return True
        if self._alone(first) or any(map(self._alone, running)):
            return False
        if self.pool.workers is not None and len(running) >= self.pool.workers:
            return False
        if first.content["device"] == "cuda" and any(stage.content["device"] == "cuda" for stage in running):
            return False
        held = sum(self._memory_bytes(stage) for stage in (first, *running))
        if self.pool.memory_bytes is not None and held > self.pool.memory_bytes:
            return False
        return sum(each.threads * each.processes for each in (first, *running)) <= self.pool.cores

    def _memory_bytes(self, stage: Stage) -> int:
        """Main memory that a stage alike has held at most; 0 if unknown, or if the figure is of a graphics card."""
        known = self.queue.estimates.of(stage).memory_bytes or 0
        return known * stage.processes if stage.content["device"] == "cpu" else 0

    def _start(self, stages: list[Stage]) -> None:
        logs = {stage.id: self.store.stage_folder(stage.id) / "log.jsonl" for stage in stages}
        offsets = {stage_id: log.stat().st_size if log.exists() else 0 for stage_id, log in logs.items()}
        for stage in stages:
            self.queue.start(stage.id)
        self.jobs.append(_Job(stages, self._workers(stages), logs, offsets))
        for stage in stages:
            self.events(Event(stage.id, "started"))

    def _workers(self, stages: Sequence[Stage]) -> Crew | Fork:
        first, ids = stages[0], [stage.id for stage in stages]
        command = [*self.pool.command, str(self.store.root)]
        environment = {**dict.fromkeys(THREAD_VARIABLES, str(first.threads)), PARENT: str(os.getpid())}
        if not self.pool.warm or first.processes > 1:
            return Crew([*command, *ids], environment, first.processes)
        template = self.templates.get(first.threads)
        if template is None or not template.usable:
            if template is not None:
                template.retire()
            template = self.templates[first.threads] = Template(command, environment)
        return template.start(ids)

    def _ended(self, job: _Job, stopping: bool) -> bool:
        """Pass the job's news on; returns whether it has ended."""
        code = job.workers.poll()
        self._forward(job)
        if code is None:
            return False
        shared = len(job.stages) > 1
        for stage in job.stages:
            ended = ending(self.store, stage.id, code, job.workers, shared)
            self._note(stage, Ending(State.INTERRUPTED, ended.message) if ended.alone and stopping else ended)
        job.workers.close()
        return True

    def _note(self, stage: Stage, ended: Ending) -> None:
        if ended.state == State.AGAIN:
            self.events(Event(stage.id, State.WAITING, {"message": ended.message}))
            self.not_before[stage.id] = time.monotonic() + (0.0 if ended.alone else BUSY_SECONDS)
            if ended.alone:
                self.unshared.add(stage.id)
            self.queue.put_back(stage.id)
            return
        self.events(Event(stage.id, ended.state, {"message": ended.message} if ended.message else {}))
        for blocked in self.queue.end(stage.id, ended.state):
            self.events(Event(blocked, State.BLOCKED, {"by": stage.id}))

    def _forward(self, job: _Job) -> None:
        """Pass on the complete lines that were added to the stages' logs."""
        for stage_id, log in job.logs.items():
            added, job.offsets[stage_id] = read_events(log, job.offsets[stage_id])
            for event in added:
                self.events(Event(stage_id, event.get("event", "info"), event))

    def _signal(self, number: int) -> None:
        for job in self.jobs:
            job.workers.signal(number)
