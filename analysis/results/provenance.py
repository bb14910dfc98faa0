"""Where every number comes from: the stage that made it, and with what that stage ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.results.experiment import Experiment


def stages(experiment: Experiment) -> pd.DataFrame:
    """One row per stage.

    Columns: stage (id), kind, serves (variants and seeds), state, started (date and time, UTC), wall_seconds, peak_memory_mb,
    device, threads, precision, python, packages, code (commit, with `+` where files were changed). Empty where unrecorded.
    """
    rows = []
    for stage_id, kind, runs in experiment.stages():
        view = experiment.view(stage_id)
        status = view.status if view else None
        env = view.env if view else {}
        memory = status.peak_memory_bytes if status else None
        rows.append({
            "stage": stage_id,
            "kind": kind,
            "serves": _serves(runs),
            "state": experiment.state(stage_id),
            "started": (status.started or "")[:19].replace("T", " ") if status else "",
            "wall_seconds": status.wall_seconds if status else None,
            "peak_memory_mb": round(memory / 1e6) if memory else None,
            "device": _device(env),
            "threads": env.get("threads"),
            "precision": env.get("precision"),
            "python": env.get("python"),
            "packages": ", ".join(f"{name} {version}" for name, version in (env.get("packages") or {}).items() if version),
            "code": _code(env),
        })  # fmt: skip
    return pd.DataFrame(rows)


def hardware(experiment: Experiment, kind: str | None = None) -> str:
    """What the stages (of one kind) ran on, in words; `unrecorded hardware` where nothing says so."""
    frame = stages(experiment)
    own = frame[(frame["device"] != "") & ((frame["kind"] == kind) if kind else True)]
    return " and ".join(own["device"].unique()) or "unrecorded hardware"


def runs(
    experiment: Experiment, numbers: pd.DataFrame, metrics: tuple[str, ...] = ("mask_AP", "box_AP", "fps")
) -> pd.DataFrame:
    """One row per variant, seed and metric with the stage that measured it: columns variant, seed, metric, value, stage.

    Args:
        numbers: of `tables.tidy`.
    """
    own = numbers[numbers["metric"].isin(metrics)]
    return own[["variant", "seed", "metric", "value", "stage"]]


def _serves(runs: list[tuple[str, int]]) -> str:
    seeds: dict[str, list[str]] = {}
    for variant, seed in runs:
        seeds.setdefault(variant, []).append(str(seed))
    return "; ".join(f"{variant}, seed {', '.join(own)}" for variant, own in seeds.items())


def _device(env: Mapping[str, Any]) -> str:
    found = env.get("hardware") or {}
    return str(env.get("device_name") or found.get("cpu") or "")


def _code(env: Mapping[str, Any]) -> str:
    code = env.get("code") or {}
    commit = code.get("commit")
    return f"{commit[:10]}{'+' if code.get('dirty') else ''}" if commit else str(code.get("source") or "")
