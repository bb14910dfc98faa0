"""Plans from the records of a results folder, without the spec, to run stored stages again."""

from __future__ import annotations

from collections.abc import Iterable

from experiments.graph import in_order
from experiments.plan.build import Plan, Run, Stage
from experiments.store.contents import Contents


def stored_plan(contents: Contents, ids: Iterable[str]) -> Plan:
    """The recorded stages with these ids and all their direct and indirect inputs, each after its inputs.

    Raises:
        StoreError: one of them was never recorded.
    """
    stages: dict[str, Stage] = {}
    for stage_id in in_order(ids, lambda stage_id: contents.view(stage_id).record["inputs"].values()):
        record = contents.view(stage_id).record
        content = {key: value for key, value in record.items() if key not in ("id", "location")}
        stages[stage_id] = Stage(stage_id, content, record["location"])
    return Plan("retry", {}, stages, tuple(_runs(contents, stages)), {})


def _runs(contents: Contents, stages: dict[str, Stage]) -> list[Run]:
    """The runs that the stages belong to, for readable titles; a stage without any gets a separate run."""
    found = []
    for stage_id, stage in stages.items():
        owners = contents.owners.get(stage_id, [])
        found += [Run(owner.variant, owner.seed, {stage.kind: stage_id}) for owner in owners]
        if not owners:
            found.append(Run(stage_id, stage.content["seed"] or 0, {stage.kind: stage_id}))
    return found
