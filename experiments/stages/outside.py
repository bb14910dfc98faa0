"""Stage kinds of measures from outside the package, given by import path.

The path is a field of the stage, so that `experiments/stages/custom_code.py` adds the digest of its code to the id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from experiments.spec.config import RunConfig
from experiments.stages.kind import Fields, Kind
from experiments.stages.table import measure_kind
from yolact.measures import DECLARED, declaration
from yolact.measures.declaration import Measure

DECLARATION = "declaration"
"""Field of such a stage: {"name": import path}."""


def kinds_with(kinds: Mapping[str, Kind], outside: Mapping[str, Measure]) -> dict[str, Kind]:
    """These kinds and those of measures from outside, {import path: declaration}."""
    return {**kinds, **{measure.name: _outside(path, measure) for path, measure in outside.items()}}


def kind_in(kinds: Mapping[str, Kind], content: Mapping[str, Any]) -> Kind | None:
    """The kind of a planned or recorded stage; None if this code has no such kind."""
    declared = content["fields"].get(DECLARATION)
    return kinds.get(content["kind"]) if declared is None else _outside(declared["name"], declaration(declared["name"]))


def _outside(path: str, measure: Measure) -> Kind:
    kind, name = measure_kind(measure), path if ":" in path else f"{path}:{DECLARED}"

    def fields(config: RunConfig, split: str) -> Fields:
        return {**kind.fields(config, split), DECLARATION: {"name": name}}

    return replace(kind, fields=fields, measure=name)
