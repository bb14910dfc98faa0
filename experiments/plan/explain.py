"""Reasons why a stage will run or not: new, cached, changed (with the fields), failed, interrupted, running."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.plan.build import Plan, Stage
from experiments.spec.tree import flatten
from experiments.store.folder import Store, StoreError
from experiments.store.states import State, Why

_Leaves = dict[tuple[str, ...], Any]
NEAREST_AMONG = 50
"""Maximum number of earlier stages that a new variant is compared with."""


@dataclass(frozen=True)
class Reason:
    word: Why
    detail: str = ""

    @property
    def runs(self) -> bool:
        """Whether the stage will run."""
        return self.word != Why.CACHED


def reasons(plan: Plan, store: Store) -> dict[str, Reason]:
    """The reason for each stage of the plan, by id."""
    earlier = _Earlier(plan, store)
    return {stage_id: _reason(stage, store, earlier) for stage_id, stage in plan.stages.items()}


def _reason(stage: Stage, store: Store, earlier: _Earlier) -> Reason:
    if store.has(stage.id):
        status = store.stage(stage.id).status
        if status.state == State.DONE:
            return Reason(Why.CACHED, f"done in {status.wall_seconds:.0f} s" if status.wall_seconds else "done")
        if status.state == State.FAILED:
            return Reason(Why.FAILED, next(iter((status.error or {}).get("message", "").splitlines()), ""))
        if status.state in (State.INTERRUPTED, State.RUNNING):
            return Reason(Why(status.state), "resumes from its checkpoint" if stage.kind == "train" else "")
    nearest = earlier.changes(stage)
    if nearest is None:
        return Reason(Why.NEW)
    fields = [line for line in nearest if not line.startswith("inputs.")]
    inherited = [f"its {line.split('.')[1].split(':')[0]} stage changed" for line in nearest if line.startswith("inputs.")]
    return Reason(Why.CHANGED, "; ".join(fields or inherited))


class _Earlier:
    """Stages of this experiment's last recorded run that the plan no longer contains."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self.by_kind: dict[str, list[_Leaves]] = {}
        self.by_run: dict[tuple[str, str, int], _Leaves] = {}
        self.owners = {stage_id: (run.variant, run.seed) for run in reversed(plan.runs) for stage_id in run.stages.values()}
        known: dict[str, _Leaves] = {}
        for run in _last_runs(plan, store):
            for kind, stage_id in run["stages"].items():
                if stage_id in plan.stages or not store.has(stage_id):
                    continue
                if stage_id not in known:
                    known[stage_id] = _readable(store.stage(stage_id).record)
                    self.by_kind.setdefault(kind, []).append(known[stage_id])
                self.by_run[kind, run["variant"], run["seed"]] = known[stage_id]

    def changes(self, stage: Stage) -> list[str] | None:
        """The differences from the stage that it replaces, else from the nearest of its kind; None if there is no such stage.

        Only a new variant or seed needs a search, which keeps planning linear in the number of stages.
        """
        before = self.by_run.get((stage.kind, *self.owners[stage.id]))
        candidates = [before] if before is not None else self.by_kind.get(stage.kind, [])[:NEAREST_AMONG]
        after = _readable(stage.content)
        return min((_lines(candidate, after) for candidate in candidates), key=len, default=None)


def _last_runs(plan: Plan, store: Store) -> list[Mapping[str, Any]]:
    try:
        return store.experiment(plan.name)["runs"]
    except StoreError:
        return []


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`field: old -> new` for each field that differs between two stages."""
    return _lines(_readable(old), _readable(new))


def _lines(before: _Leaves, after: _Leaves) -> list[str]:
    absent = object()
    lines = []
    for path in dict.fromkeys([*after, *before]):
        was, now = before.get(path, absent), after.get(path, absent)
        if was != now:
            shown = ["absent" if value is absent else str(value) for value in (was, now)]
            lines.append(f"{'.'.join(path)}: {shown[0]} -> {shown[1]}")
    return lines


def _readable(content: Mapping[str, Any]) -> _Leaves:
    shown = ("fields", "inputs", "seed", "data", "threads", "device", "version", "code")
    leaves = flatten({key: content[key] for key in shown if key in content})
    return {path[1:] if path[0] == "fields" else path: value for path, value in leaves.items()}
