"""The launcher interface, and the queue of stages that launchers share.

A launcher gets a plan and a results folder. It ensures that each chosen stage is done, tried, or blocked by one that failed.
The same stages give the same results under every launcher.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from experiments.graph import longest_paths, reach, reversed_arrows
from experiments.plan.build import Plan, Stage
from experiments.plan.estimate import Estimates, lengths
from experiments.store.folder import Store
from experiments.store.states import State


@dataclass(frozen=True)
class Event:
    """An event of a stage."""

    stage_id: str
    what: str
    """submitted | started | step | info | warning | error | done | failed | blocked | interrupted | waiting"""
    data: Mapping[str, Any] = field(default_factory=dict)


Events = Callable[[Event], None]


@dataclass(frozen=True)
class Outcome:
    """Outcome of a launch."""

    states: Mapping[str, State]
    """{stage id: one of ENDS}. Stages that were not started because the user stopped are "interrupted", queued ones
    "submitted"."""
    stopped: bool = False
    """Whether the user interrupted it."""

    @property
    def exit_status(self) -> int:
        """0: all done or submitted, 130: interrupted by the user, 1: a stage failed or is blocked."""
        if self.stopped:
            return 130
        return 0 if all(state in (State.DONE, State.SUBMITTED) for state in self.states.values()) else 1


class Launcher(Protocol):
    """Runs stages."""

    def run(self, plan: Plan, chosen: set[str], store: Store, events: Events) -> Outcome:
        """Run the chosen stages and their inputs unless they are done. Every stage is recorded in the store first."""
        ...


class Queue:
    """Queue of waiting, ready and ended stages. The longest remaining path goes first."""

    def __init__(self, plan: Plan, chosen: set[str], store: Store) -> None:
        wanted = {*chosen, *reach(chosen, lambda stage_id: plan.stages[stage_id].inputs)}
        self.stages = {stage_id: stage for stage_id, stage in plan.stages.items() if stage_id in wanted}
        self.states = {stage_id: State.DONE for stage_id in self.stages if store.state(stage_id) == State.DONE}
        self.estimates = Estimates(store, self.stages)
        self._dependants = reversed_arrows({stage_id: stage.inputs for stage_id, stage in self.stages.items()})
        length = lengths(self.estimates, self.stages)
        self._remaining = longest_paths(self._dependants, length.__getitem__)
        self._place = {stage_id: place for place, stage_id in enumerate(self.stages)}
        self._ready = {stage_id for stage_id in self.stages if self._can_start(stage_id)}

    def ready(self) -> list[Stage]:
        """Stages that could start now, the longest remaining path first."""
        ordered = sorted(self._ready, key=lambda stage_id: (-self._remaining[stage_id], self._place[stage_id]))
        return [self.stages[stage_id] for stage_id in ordered]

    def start(self, stage_id: str) -> None:
        self._ready.discard(stage_id)

    def put_back(self, stage_id: str) -> None:
        """Return a stage that did not start to the queue."""
        self._ready.add(stage_id)

    def end(self, stage_id: str, state: State) -> list[str]:
        """Record a stage's final state; return the stages that a failure blocks."""
        self._ready.discard(stage_id)
        self.states[stage_id] = state
        if state == State.DONE:
            self._ready |= {other for other in self._dependants[stage_id] if self._can_start(other)}
        if state != State.FAILED:
            return []
        blocked = [other for other in reach([stage_id], self._dependants.__getitem__) if other not in self.states]
        self.states |= dict.fromkeys(blocked, State.BLOCKED)
        return blocked

    def _can_start(self, stage_id: str) -> bool:
        if stage_id in self.states:
            return False
        return all(self.states.get(needed) == State.DONE for needed in self.stages[stage_id].inputs)

    def outcome(self, stopped: bool) -> Outcome:
        return Outcome({stage_id: self.states.get(stage_id, State.INTERRUPTED) for stage_id in self.stages}, stopped)


def record_stages(queue: Queue, store: Store) -> None:
    """Write stage.json of every stage that is about to run."""
    for stage_id, stage in queue.stages.items():
        if queue.states.get(stage_id) != State.DONE:
            store.write_stage(stage_id, stage.record)
