"""Results folders made by fake kinds, with experiment records, for tests of commands that look at results."""

from __future__ import annotations

from pathlib import Path

from experiments.launch.inprocess import InProcess
from experiments.store.folder import Store
from tests.support.processes import fakes


def record(stages, name="fake", seeds=(0,)):
    """An experiment record in which each stage is of the variant `only`; stages of one seed are given together."""
    pairs = zip(seeds, stages, strict=True)
    runs = [{"variant": "only", "seed": seed, "stages": {s.kind: s.id for s in group}} for seed, group in pairs]
    return {
        "experiment": name,
        "scale": "toy",
        "title": name,
        "question": "?",
        "reference": "only",
        "data": {"name": "none", "id": "none", "split": "test"},
        "created": "2026-11-20T00:00:00+00:00",
        "paper": {"source": "", "note": ""},
        "stand_ins": {},
        "variants": [{"name": "only", "label": "only", "changes": {}, "paper": {}}],
        "runs": runs,
    }


def chain(seed=0, steps=3):
    """A counting and the doubling that builds on it."""
    first = fakes.stage("count", seed=seed, steps=steps)
    return first, fakes.stage("double", inputs={"count": first.id})


def run(folder: Path, *groups, name="fake", seeds=None, only=None) -> Store:
    """Run groups of stages, one per seed, and record them as an experiment."""
    store = Store(folder)
    stages = [stage for group in groups for stage in group]
    store.write_experiment(record(groups, name, seeds or range(len(groups))))
    plan = fakes.plan_of(*stages)
    chosen = {stage.id for stage in stages} if only is None else {stage.id for stage in only}
    InProcess(fakes.KINDS).run(plan, chosen, store, lambda event: None)
    return store
