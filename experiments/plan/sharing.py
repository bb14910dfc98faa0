"""Batches of stages that share work in one process (`Kind.together`), and the savings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from experiments.plan.build import Plan, Stage
from experiments.plan.estimate import Estimates
from experiments.stages.kind import MOST_TOGETHER, Kind
from experiments.stages.table import KINDS
from yolact.runtime.units import duration


def batch_key(stage: Stage, stages: Mapping[str, Stage], kinds: Mapping[str, Kind]) -> str | None:
    """Key that the stages of one batch have in common; None for a stage that shares no work.

    Args:
        stages: the stage and its inputs, by id.
    """
    kind, content = kinds.get(stage.kind), stage.content
    if kind is None or not kind.together:
        return None
    inputs = {name: stages[needed].content["fields"] for name, needed in content["inputs"].items()}
    fields = kind.shared(content["fields"], inputs)
    rest = {name: content[name] for name in ("kind", "version", "inputs", "seed", "data", "threads", "device")}
    return None if fields is None else json.dumps([rest, fields], sort_keys=True)


@dataclass(frozen=True)
class Savings:
    """Savings from sharing among the stages to run, compared with running every variant and seed separately."""

    alone: int
    """Number of stages if every variant and seed ran separately."""
    stages: int
    """Number of stages that run."""
    predictions: int
    """Number of those that share a forward pass with others, if they start at the same time."""
    passes: int
    """Number of forward passes for these predictions."""
    seconds: float
    """Time saved, for stages with a known estimate."""
    unknown: int
    """Number of saved stages without an estimate; they are not in `seconds`."""

    def __str__(self) -> str:
        """In words; "" if nothing is shared."""
        parts = []
        if self.alone > self.stages:
            parts.append(f"{self.stages} stages in place of the {self.alone} that the variants would run by themselves")
        if self.predictions:
            parts.append(f"{self.predictions} predictions share {self.passes} forward passes")
        if parts and self.seconds:
            parts.append(f"saves about {duration(self.seconds)}" + (f" and {self.unknown} stages more" if self.unknown else ""))
        return f"sharing: {'; '.join(parts)}" if parts else ""


def savings(plan: Plan, todo: Collection[str], estimates: Estimates, kinds: Mapping[str, Kind] = KINDS) -> Savings:
    """Savings from sharing among the stages `todo` of a plan."""
    uses = Counter(stage_id for run in plan.runs for stage_id in run.stages.values() if stage_id in todo)
    batches = [batch for batch in _batches(plan, uses, kinds) if len(batch) > 1]
    seconds, unknown = 0.0, 0
    for stage_id, count in uses.items():
        each = estimates.of(plan.stages[stage_id]).seconds
        seconds += (count - 1) * (each or 0.0)
        unknown += count - 1 if each is None else 0
    for batch in batches:
        seconds += (len(batch) - 1) * (estimates.of(batch[0]).sharable_seconds or 0.0)
    return Savings(uses.total(), len(uses), sum(map(len, batches)), len(batches), seconds, unknown)


def _batches(plan: Plan, stage_ids: Iterable[str], kinds: Mapping[str, Kind]) -> list[list[Stage]]:
    """Stages that the worker pool would run in one worker."""
    by_key: dict[str, list[Stage]] = {}
    for stage in (plan.stages[stage_id] for stage_id in stage_ids):
        key = batch_key(stage, plan.stages, kinds)
        if key is not None:
            by_key.setdefault(key, []).append(stage)
    return [found[i : i + MOST_TOGETHER] for found in by_key.values() for i in range(0, len(found), MOST_TOGETHER)]
