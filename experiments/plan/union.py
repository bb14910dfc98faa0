"""Several plans as one, so that shared stages run once and the machine is never idle between two specs."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.plan.build import Plan, Run


def together(plans: Sequence[Plan]) -> Plan:
    """Merge plans into one that contains each stage once. Its variants are named `<experiment>: <variant>`.

    It is not a separate experiment: its record is empty, and those of its parts are written instead.
    """
    stages = {stage_id: stage for plan in plans for stage_id, stage in plan.stages.items()}
    runs = tuple(Run(title(plan, run.variant), run.seed, run.stages) for plan in plans for run in plan.runs)
    resolved = {title(plan, variant): found for plan in plans for variant, found in plan.resolved.items()}
    return Plan("all", {"stand_ins": _stand_ins(plans)}, stages, runs, resolved)


def title(plan: Plan, variant: str) -> str:
    """A variant's name within a merged plan."""
    return f"{plan.experiment['experiment']}: {variant}"


def _stand_ins(plans: Sequence[Plan]) -> dict[str, str]:
    return {old: new for plan in plans for old, new in plan.experiment["stand_ins"].items()}
