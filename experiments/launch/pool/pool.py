"""Worker pool: runs stages in processes on this machine, never with more threads than cores, because oversubscription is slow.

Workers are forked from a process that has imported torch (`experiments.run.forkserver`), if the system supports it. Stages that
share work (`experiments.plan.sharing`) and can start at the same time run as a batch in one worker. If it is killed, its
unfinished stages are tried again one by one, so that the faulty one stops no other. A training by several processes
(`runtime.devices` × `runtime.nodes`) gets them all on this machine.
The longest remaining path goes first. Each job on "cuda" gets separate GPUs, one per process, so that as many jobs run at once
as there are GPUs. Exclusive stages, which measure time, run with nothing else on the machine, after all other stages that
can run. Stages whose known memory needs exceed the machine's memory don't run together. Workers have separate sessions, so that
Ctrl-C reaches only the launcher: the first makes workers save and exit, the second kills them.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from experiments.launch.launcher import Event, Events, Outcome, Queue, record_stages
from experiments.launch.pool import forkserver_client
from experiments.launch.pool.batches import Batches
from experiments.launch.pool.exits import Exit, exit_of
from experiments.launch.pool.forkserver_client import Forkserver
from experiments.launch.pool.processes import ProcessGroup, Workers
from experiments.launch.pool.resources import Machine, Resources, Share, cards_environment
from experiments.plan.build import Plan, Stage
from experiments.run.forkserver import PARENT
from experiments.run.interrupts import counted_interrupts
from experiments.run.worker import THREAD_VARIABLES
from experiments.stages.kind import Kind, is_exclusive
from experiments.stages.table import KINDS
from experiments.store.folder import Store, read_events
from experiments.store.states import State

POLL_SECONDS = 0.1
BUSY_SECONDS = 2.0
WORKER = (sys.executable, "-m", "experiments.run.worker")


@dataclass
class _Job:
    batch: list[Stage]
    """One stage, or several that share work."""
    share: Share
    cards: tuple[str, ...]
    workers: Workers
    logs: dict[str, Path]
    offsets: dict[str, int]


@dataclass
class Pool:
    """The launcher `--launcher pool`."""

    machine: Machine = field(default_factory=Machine)
    kinds: Mapping[str, Kind] = field(default_factory=lambda: KINDS)
    command: Sequence[str] = WORKER
    """Command line of a worker; results folder and stage ids are appended."""
    warm: bool = forkserver_client.POSSIBLE
    """Whether to fork workers from a forkserver and let stages share work; else each stage gets a fresh process."""

    def run(self, plan: Plan, chosen: set[str], store: Store, events: Events) -> Outcome:
        return _Running(self, Queue(plan, chosen, store), store, events).run()


class _Running:
    def __init__(self, pool: Pool, queue: Queue, store: Store, events: Events) -> None:
        self.pool, self.queue, self.store, self.events = pool, queue, store, events
        self.resources = Resources(pool.machine)
        self.batches = Batches(queue.stages, pool.kinds, share=pool.warm)
        self.jobs: list[_Job] = []
        self.not_before: dict[str, float] = {}
        """Time at which stages that other processes work on are tried again."""
        self.fill_at = 0.0
        """Time at which a stage may start next, unless a job ends before."""
        self.forkservers: dict[int, Forkserver] = {}
        """By threads."""

    def run(self) -> Outcome:
        record_stages(self.queue, self.store)
        sent = 0
        with counted_interrupts() as stop:
            try:
                while self.jobs or (not stop and self.queue.ready()):
                    self.jobs = [job for job in self.jobs if not self._ended(job, bool(stop))]
                    if stop.asked > sent:
                        sent = stop.asked
                        self._signal(signal.SIGTERM if sent == 1 else signal.SIGKILL)
                    if not stop and time.monotonic() >= self.fill_at:
                        self._fill()
                    time.sleep(POLL_SECONDS)
            finally:
                self._signal(signal.SIGTERM)
                for forkserver in self.forkservers.values():
                    forkserver.close()
            return self.queue.outcome(bool(stop))

    def _fill(self) -> None:
        """Start the ready stages that fit, in one pass; nothing more can start until a job ends or `fill_at`."""
        now = time.monotonic()
        self.not_before = {stage_id: moment for stage_id, moment in self.not_before.items() if moment > now}
        self.fill_at = min(self.not_before.values(), default=math.inf)
        for batch in self.batches.of(stage for stage in self.queue.ready() if stage.id not in self.not_before):
            if self.resources.exhausted:
                return
            share = self._share(batch[0])
            if self.resources.fits(share):
                self._start(batch, share)

    def _share(self, stage: Stage) -> Share:
        """Resources of a batch with this first stage."""
        on_cards = stage.content["device"] == "cuda"
        memory = 0 if on_cards else (self.queue.estimates.of(stage).memory_bytes or 0) * stage.processes
        cards = stage.processes if on_cards else 0
        return Share(stage.threads * stage.processes, memory, cards, is_exclusive(self.pool.kinds, stage.kind))

    def _start(self, batch: list[Stage], share: Share) -> None:
        logs = {stage.id: self.store.stage_folder(stage.id) / "log.jsonl" for stage in batch}
        offsets = {stage_id: log.stat().st_size if log.exists() else 0 for stage_id, log in logs.items()}
        for stage in batch:
            self.queue.start(stage.id)
        cards = self.resources.take(share)
        self.jobs.append(_Job(batch, share, cards, self._workers(batch, cards_environment(cards)), logs, offsets))
        for stage in batch:
            self.events(Event(stage.id, "started"))

    def _workers(self, batch: Sequence[Stage], own: Mapping[str, str]) -> Workers:
        """Start the processes of a job, with its own environment variables."""
        first, ids = batch[0], [stage.id for stage in batch]
        command = [*self.pool.command, str(self.store.root)]
        environment = {**dict.fromkeys(THREAD_VARIABLES, str(first.threads)), PARENT: str(os.getpid())}
        if not self.pool.warm or first.processes > 1:
            return ProcessGroup([*command, *ids], {**environment, **own}, first.processes)
        forkserver = self.forkservers.get(first.threads)
        if forkserver is None or not forkserver.usable:
            if forkserver is not None:
                forkserver.retire()
            forkserver = self.forkservers[first.threads] = Forkserver(command, environment)
        return forkserver.start(ids, own)

    def _ended(self, job: _Job, stopping: bool) -> bool:
        """Forward the job's events; return whether it has ended."""
        code = job.workers.poll()
        self._forward(job)
        if code is None:
            return False
        for stage in job.batch:
            found = exit_of(self.store, stage.id, code, job.workers, batch=len(job.batch) > 1)
            self._note(stage, Exit(State.INTERRUPTED, found.message) if found.unbatched and stopping else found)
        job.workers.close()
        self.resources.give_back(job.share, job.cards)
        self.fill_at = 0.0
        return True

    def _note(self, stage: Stage, found: Exit) -> None:
        if found.state == State.AGAIN:
            self.events(Event(stage.id, State.WAITING, {"message": found.message}))
            if found.unbatched:
                self.batches.never_again(stage)
            else:
                self.not_before[stage.id] = time.monotonic() + BUSY_SECONDS
            self.queue.put_back(stage.id)
            return
        self.events(Event(stage.id, found.state, {"message": found.message} if found.message else {}))
        for blocked in self.queue.end(stage.id, found.state):
            self.events(Event(blocked, State.BLOCKED, {"by": stage.id}))

    def _forward(self, job: _Job) -> None:
        """Forward the complete lines that were added to the stages' logs."""
        for stage_id, log in job.logs.items():
            added, job.offsets[stage_id] = read_events(log, job.offsets[stage_id])
            for event in added:
                self.events(Event(stage_id, event.get("event", "info"), event))

    def _signal(self, number: int) -> None:
        for job in self.jobs:
            job.workers.signal(number)
