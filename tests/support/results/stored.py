"""An experiment made up of given result files, in the layout of docs/architecture.md."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from analysis.results.experiment import Experiment, load

Write = Callable[[Path], Any]
"""Writes a stage's files into its result folder."""


def store(
    root: Path,
    changes: Mapping[str, Mapping[str, Any]],
    runs: Mapping[tuple[str, int], Mapping[str, Write | None]],
    experiment: str = "made_up",
) -> Experiment:
    """
    Args:
        changes: {variant: {dotted field: value}}, the reference first.
        runs: {(variant, seed): {kind: what writes its result, or None for a stage that wasn't run}}. Runs of one seed share
            their train stage unless a variant changes a `training` or `model` field.
    """
    recorded = []
    for (variant, seed), kinds in runs.items():
        trained_by = variant if any(field.startswith(("training", "model")) for field in changes[variant]) else "shared"
        stages = {kind: _id(kind, trained_by if kind == "train" else variant, seed) for kind in kinds}
        for kind, write in kinds.items():
            if write is not None:
                _stage(root / "runs" / stages[kind], kind, write)
        recorded.append({"variant": variant, "seed": seed, "stages": stages})
    record = {
        "experiment": experiment, "scale": "toy", "title": "Made up", "question": "Made up?", "reference": next(iter(changes)),
        "data": {"name": "shapes", "id": "0123456789abcdef", "split": "test"}, "created": "2026-11-20T08:00:00+00:00",
        "headline": ["mask_AP"], "variants": [{"name": name, "changes": dict(own)} for name, own in changes.items()],
        "runs": recorded,
    }  # fmt: skip
    _json(root / "experiments" / f"{experiment}-toy.json", record)
    return load(root, experiment, "toy")


def _stage(folder: Path, kind: str, write: Write) -> None:
    if folder.exists():
        return
    (folder / "result").mkdir(parents=True)
    _json(folder / "stage.json", {"kind": kind, "version": 1, "fields": {}, "inputs": {}, "data": "0123456789abcdef"})
    _json(folder / "status.json", {"state": "done", "attempt": 1, "error": None, "digests": {}})
    write(folder / "result")


def _id(kind: str, variant: str, seed: int) -> str:
    return f"{kind}-{hashlib.sha256(f'{variant} {seed}'.encode()).hexdigest()[:16]}"


def _json(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
