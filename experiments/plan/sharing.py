"""Stages that can share work, so that one process does them as one batch (`Kind.together`), and what sharing saves."""

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
    """What the stages of one batch have in common; None for a stage that shares no work.

    Args:
        stages: it and its inputs, by id.
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
    """What sharing saves among the stages that are to run, against running every variant and seed by itself."""

    alone: int
    """Stages that the variants and seeds would run if none knew of the others."""
    stages: int
    """Stages that run."""
    predictions: int
    """Those among them that share a forward pass with others, where they start at the same time."""
    passes: int
    """How many forward passes these take."""
    seconds: float
    """Saved, as far as it was measured how long such stages take."""
    unknown: int
    """Stages saved whose time nothing says; they are not in `seconds`."""

    def __str__(self) -> str:
        """In words; "" where nothing is shared."""
        parts = []
        if self.alone > self.stages:
            parts.append(f"{self.stages} stages in place of the {self.alone} that the variants would run by themselves")
        if self.predictions:
            parts.append(f"{self.predictions} predictions share {self.passes} forward passes")
        if parts and self.seconds:
            parts.append(f"saves about {duration(self.seconds)}" + (f" and {self.unknown} stages more" if self.unknown else ""))
        return f"sharing: {'; '.join(parts)}" if parts else ""


def savings(plan: Plan, todo: Collection[str], estimates: Estimates, kinds: Mapping[str, Kind] = KINDS) -> Savings:
    """What sharing saves among the stages `todo` of a plan."""
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
