"""Why a stage will run, or will not: new, cached, changed (and which field), failed, interrupted, running."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.plan import Plan, Stage
from experiments.resolve import flatten
from experiments.store import Store, StoreError


@dataclass(frozen=True)
class Reason:
    word: str
    """new | cached | changed | failed | interrupted | running"""
    detail: str = ""

    @property
    def runs(self) -> bool:
        """Whether there is work to do."""
        return self.word != "cached"


def reasons(plan: Plan, store: Store) -> dict[str, Reason]:
    """The reason for each stage of the plan, by id."""
    earlier = _earlier(plan, store)
    return {stage_id: _reason(stage, store, earlier) for stage_id, stage in plan.stages.items()}


def _reason(stage: Stage, store: Store, earlier: Mapping[str, list[Mapping[str, Any]]]) -> Reason:
    if store.has(stage.id):
        status = store.stage(stage.id).status
        if status.state == "done":
            return Reason("cached", f"done in {status.wall_seconds:.0f} s" if status.wall_seconds else "done")
        if status.state == "failed":
            return Reason("failed", next(iter((status.error or {}).get("message", "").splitlines()), ""))
        if status.state in ("interrupted", "running"):
            return Reason(status.state, "goes on from its checkpoint" if stage.kind == "train" else "")
    changes: list[list[str]] = [difference(old, stage.content) for old in earlier.get(stage.kind, [])]
    if not changes:
        return Reason("new")
    nearest = sorted(changes, key=len)[0]
    fields = [line for line in nearest if not line.startswith("inputs.")]
    inherited = [f"its {line.split('.')[1].split(':')[0]} stage changed" for line in nearest if line.startswith("inputs.")]
    return Reason("changed", "; ".join(fields or inherited))


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`field: old -> new` for each field in which the contents of two stages differ."""
    before, after = _readable(old), _readable(new)
    absent = object()
    lines = []
    for path in dict.fromkeys([*after, *before]):
        was, now = before.get(path, absent), after.get(path, absent)
        if was != now:
            shown = ["absent" if value is absent else str(value) for value in (was, now)]
            lines.append(f"{'.'.join(path)}: {shown[0]} -> {shown[1]}")
    return lines


def _readable(content: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    leaves = flatten({key: content.get(key) for key in ("fields", "inputs", "seed", "data", "threads", "device", "version")})
    return {path[1:] if path[0] == "fields" else path: value for path, value in leaves.items()}


def _earlier(plan: Plan, store: Store) -> dict[str, list[Mapping[str, Any]]]:
    """By kind, the stages that this experiment's record named when it was last run."""
    try:
        runs = store.experiment(plan.name)["runs"]
    except StoreError:
        return {}
    ids = {stage_id for run in runs for stage_id in run["stages"].values()}
    found: dict[str, list[Mapping[str, Any]]] = {}
    for stage_id in sorted(ids - set(plan.stages)):
        if store.has(stage_id):
            found.setdefault(store.stage(stage_id).kind, []).append(store.stage(stage_id).record)
    return found
