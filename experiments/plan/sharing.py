"""Which stages can share work, so that one process does them together (`Kind.together`)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from experiments.plan.build import Stage
from experiments.stages.kind import Kind


def common(stage: Stage, stages: Mapping[str, Stage], kinds: Mapping[str, Kind]) -> str | None:
    """What stages have in common that can share work; None for a stage that shares none.

    Args:
        stages: it and its inputs, by id.
    """
    kind, content = kinds[stage.kind], stage.content
    if not kind.together:
        return None
    inputs = {name: stages[needed].content["fields"] for name, needed in content["inputs"].items()}
    fields = kind.shared(content["fields"], inputs)
    rest = {name: content[name] for name in ("kind", "version", "inputs", "seed", "data", "threads", "device")}
    return None if fields is None else json.dumps([rest, fields], sort_keys=True)
