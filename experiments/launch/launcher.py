"""What every launcher is, and the order of work that they share.

A launcher gets a plan and a results folder and sees to it that each chosen stage is done, tried, or blocked by one that failed.
The same stages give the same results under every launcher.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from experiments.plan.build import Plan, Stage
from experiments.plan.expected import Expected
from experiments.store.folder import Store
from experiments.store.states import State


@dataclass(frozen=True)
class Event:
    """Something that happened to a stage."""

    stage_id: str
    what: str
    """submitted | started | step | info | warning | error | done | failed | blocked | interrupted | waiting"""
    data: Mapping[str, Any] = field(default_factory=dict)


Events = Callable[[Event], None]


@dataclass(frozen=True)
class Outcome:
    """How a launch ended."""

    states: Mapping[str, State]
    """{stage id: one of ENDS}; stages that were never begun because the user stopped are "interrupted", those that a scheduler
    has in its queue "submitted"."""
    stopped: bool = False
    """The user interrupted it."""

    @property
    def exit_status(self) -> int:
        """0 all done or submitted, 130 interrupted by the user, 1 anything failed or blocked."""
        if self.stopped:
            return 130
        return 0 if all(state in (State.DONE, State.SUBMITTED) for state in self.states.values()) else 1


class Launcher(Protocol):
    """Runs stages."""

    def run(self, plan: Plan, chosen: set[str], store: Store, events: Events) -> Outcome:
        """Run the chosen stages, and what they need, that are not done. Every stage is recorded in the store first."""
        ...


class Queue:
    """Which stages wait, can start, and are over. The longest remaining path goes first."""

    def __init__(self, plan: Plan, chosen: set[str], store: Store) -> None:
        wanted = _with_inputs(plan, chosen)
        self.stages = {stage_id: stage for stage_id, stage in plan.stages.items() if stage_id in wanted}
        self.states = {stage_id: State.DONE for stage_id in self.stages if store.state(stage_id) == State.DONE}
        self.running: set[str] = set()
        self._dependants: dict[str, list[str]] = {stage_id: [] for stage_id in self.stages}
        for stage_id, stage in self.stages.items():
            for needed in stage.inputs:
                self._dependants[needed].append(stage_id)
        self.expected = Expected(store, self.stages)
        self._left: dict[str, float] = {}
        for stage_id in reversed(self.stages):
            after = max((self._left[other] for other in self._dependants[stage_id]), default=0.0)
            self._left[stage_id] = self.expected.seconds(self.stages[stage_id]) + after

    def ready(self) -> list[Stage]:
        """Stages that could start now, the longest remaining path first."""
        waiting = [s for s in self.stages.values() if s.id not in self.states and s.id not in self.running]
        free = [s for s in waiting if all(self.states.get(needed) == State.DONE for needed in s.inputs)]
        return sorted(free, key=lambda stage: -self._left[stage.id])

    def start(self, stage_id: str) -> None:
        self.running.add(stage_id)

    def put_back(self, stage_id: str) -> None:
        """The stage did not start after all."""
        self.running.discard(stage_id)

    def end(self, stage_id: str, state: State) -> list[str]:
        """Note how a stage ended; returns the stages that a failure blocks."""
        self.running.discard(stage_id)
        self.states[stage_id] = state
        if state != State.FAILED:
            return []
        blocked: list[str] = []
        pending = list(self._dependants[stage_id])
        while pending:
            other = pending.pop()
            if other not in self.states:
                self.states[other] = State.BLOCKED
                blocked.append(other)
                pending.extend(self._dependants[other])
        return blocked

    def outcome(self, stopped: bool) -> Outcome:
        return Outcome({stage_id: self.states.get(stage_id, State.INTERRUPTED) for stage_id in self.stages}, stopped)


def record_stages(queue: Queue, store: Store) -> None:
    """Write the stage.json of everything that is about to run."""
    for stage_id, stage in queue.stages.items():
        if queue.states.get(stage_id) != State.DONE:
            store.write_stage(stage_id, stage.record)


def _with_inputs(plan: Plan, chosen: set[str]) -> set[str]:
    wanted: set[str] = set()
    pending = list(chosen)
    while pending:
        stage_id = pending.pop()
        if stage_id not in wanted:
            wanted.add(stage_id)
            pending.extend(plan.stages[stage_id].inputs)
    return wanted
