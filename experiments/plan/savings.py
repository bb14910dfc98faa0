"""What sharing saves against running every variant and seed by itself: stages done once, and forward passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from experiments.cli.progress import duration
from experiments.plan.budget import Budgets
from experiments.plan.build import Plan, Stage
from experiments.plan.sharing import common
from experiments.stages.kind import MOST_TOGETHER, Kind
from experiments.stages.table import KINDS


@dataclass(frozen=True)
class Savings:
    """Of the stages that are to run."""

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


def savings(plan: Plan, todo: Collection[str], budgets: Budgets, kinds: Mapping[str, Kind] = KINDS) -> Savings:
    """What sharing saves among the stages `todo` of a plan."""
    uses = Counter(stage_id for run in plan.runs for stage_id in run.stages.values() if stage_id in todo)
    groups = [group for group in _groups(plan, uses, kinds) if len(group) > 1]
    seconds, unknown = 0.0, 0
    for stage_id, count in uses.items():
        each = budgets.of(plan.stages[stage_id]).seconds
        seconds += (count - 1) * (each or 0.0)
        unknown += count - 1 if each is None else 0
    for group in groups:
        seconds += (len(group) - 1) * (budgets.of(group[0]).sharable_seconds or 0.0)
    return Savings(uses.total(), len(uses), sum(map(len, groups)), len(groups), seconds, unknown)


def _groups(plan: Plan, stage_ids: Iterable[str], kinds: Mapping[str, Kind]) -> list[list[Stage]]:
    """Stages that the worker pool would run in one worker."""
    by_key: dict[str, list[Stage]] = {}
    for stage in (plan.stages[stage_id] for stage_id in stage_ids):
        key = common(stage, plan.stages, kinds)
        if key is not None:
            by_key.setdefault(key, []).append(stage)
    return [found[i : i + MOST_TOGETHER] for found in by_key.values() for i in range(0, len(found), MOST_TOGETHER)]
