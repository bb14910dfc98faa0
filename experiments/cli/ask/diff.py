"""`yolact diff`"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from experiments.cli.common import results_option
from experiments.plan.explain import difference
from experiments.spec.tree import flatten
from experiments.store.folder import StageView, Store, StoreError
from experiments.store.metrics import METRICS, Metric, metrics_in
from experiments.store.states import State
from yolact.config.base import nearest

RESULT_FILES = ("metrics.json", "speed.json", "summary.json")


@dataclass(frozen=True)
class _Side:
    name: str
    stages: dict[str, StageView]
    """By kind."""
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS)


@click.command()
@click.argument("a")
@click.argument("b")
@results_option
def diff(a: str, b: str, results: Path) -> None:
    """Compare two stages or two runs: settings and results.

    A and B are stage ids, or runs written EXPERIMENT:VARIANT:SEED; without a seed, the variant's first.

    \b
    Example:
      yolact diff quickstart-toy:baseline:0 quickstart-toy:fc-mask:0
      yolact diff train-0123456789abcdef train-fedcba9876543210
    """
    store = Store(results)
    left, right = _side(store, a), _side(store, b)
    kinds = [kind for kind in left.stages if kind in right.stages]
    if not kinds:
        raise StoreError(f"{a} and {b} have no kind of stage in common, so there is nothing to compare")
    metrics = [*{**left.metrics, **right.metrics}.values()]
    lines = [line for kind in kinds for line in _stage_lines(left.stages[kind], right.stages[kind], metrics)]
    click.echo(f"a: {left.name}\nb: {right.name}")
    click.echo("\n".join(lines) if lines else "the same settings and the same results")


def _side(store: Store, name: str) -> _Side:
    if ":" not in name:
        view = store.stage(name)
        return _Side(name, {view.kind: view})
    experiment, variant, *rest = name.split(":", 2)
    record = store.experiment(experiment)
    variants = [v["name"] for v in record["variants"]]
    if variant not in variants:
        raise StoreError(f"{name}: unknown variant {variant!r}{nearest(variant, variants)}")
    runs = [run for run in record["runs"] if run["variant"] == variant and (not rest or str(run["seed"]) == rest[0])]
    if not runs:
        seeds = [str(run["seed"]) for run in record["runs"] if run["variant"] == variant]
        raise StoreError(f"{name}: no such seed; variant {variant!r} has seeds {', '.join(seeds)}")
    stages = {kind: store.stage(stage_id) for kind, stage_id in runs[0]["stages"].items() if store.has(stage_id)}
    return _Side(f"{experiment}:{variant}:{runs[0]['seed']}", stages, metrics_in(record))


def _stage_lines(a: StageView, b: StageView, metrics: list[Metric]) -> list[str]:
    if a.id == b.id:
        return []
    settings = [line for line in difference(a.record, b.record) if not line.startswith("inputs.")]
    results = _result_lines(a, b, [metric for metric in metrics if metric.kind == a.kind])
    return [f"{a.kind}: {a.id} ({a.state}), {b.id} ({b.state})", *(f"  {line}" for line in [*settings, *results])]


def _result_lines(a: StageView, b: StageView, read: list[Metric]) -> list[str]:
    """Lines for the metrics that differ, by name and in their units, then for other numbers of the results, by path."""
    if a.state != State.DONE or b.state != State.DONE:
        return []
    lines = [line for metric in read if (line := _metric_line(metric, a, b))]
    shown = {(metric.file, metric.path) for metric in read}
    for name in RESULT_FILES:
        before, after = (_numbers(view.result / name) for view in (a, b))
        for path in before:
            if path in after and before[path] != after[path] and (name, path) not in shown:
                change = after[path] - before[path]
                lines.append(f"{'.'.join(path)}: {before[path]:.4g} -> {after[path]:.4g} ({change:+.4g})")
    same = a.status.digests == b.status.digests
    return [*lines, "the same bytes" if same else f"files differ: {', '.join(_differing(a, b))}"]


def _metric_line(metric: Metric, a: StageView, b: StageView) -> str:
    """The change of a metric; "" if the values are equal, or one is missing."""
    try:
        before, after = (metric.read(view.result) for view in (a, b))
    except (OSError, KeyError, ValueError):
        return ""
    if before == after:
        return ""
    return f"{metric.name}: {before:.4g} -> {after:.4g} ({after - before:+.4g}) {metric.unit}".rstrip()


def _differing(a: StageView, b: StageView) -> list[str]:
    before, after = a.status.digests, b.status.digests
    return [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]


def _numbers(path: Path) -> dict[tuple[str, ...], Any]:
    """The numbers in a JSON file, by path; {} if the file does not exist."""
    if not path.is_file():
        return {}
    leaves = flatten(json.loads(path.read_text(encoding="utf-8")))
    return {path: value for path, value in leaves.items() if isinstance(value, int | float) and not isinstance(value, bool)}
