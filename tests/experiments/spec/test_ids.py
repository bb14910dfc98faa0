"""Every stage id of every spec at every scale, against digests recorded once: the guard of a refactor of specs or plans.

A spec, variant or version that changes on purpose changes its digests too; `python -m tests.experiments.spec.test_ids` records
them again. Stages that measure time are left out, for their ids depend on the machine.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from experiments.plan.build import DataInfo, build_plan
from experiments.spec.schema import load_scale, load_spec, names
from experiments.spec.variants import data_of
from experiments.stages.table import KINDS

RECORDED = Path(__file__).with_name("ids.json")


def digest(spec: str, scale: str) -> str:
    loaded, size = load_spec(spec), load_scale(scale)
    data = DataInfo(data_of(loaded.at(size)), "0" * 16, ("train", "val"))
    plan = build_plan(loaded, size, data)
    ids = [stage for run in plan.runs for kind, stage in run.stages.items() if not KINDS[kind].exclusive]
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]


def digests() -> dict[str, dict[str, str]]:
    return {spec: {scale: digest(spec, scale) for scale in names("scales")} for spec in names("specs")}


@pytest.mark.parametrize("spec", names("specs"))
def test_ids_are_as_recorded(spec):
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    found = {scale: digest(spec, scale) for scale in names("scales")}
    assert found == recorded.get(spec), "record them again if ids were meant to change (see this file's first lines)"


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(digests(), indent=1) + "\n", encoding="utf-8")
