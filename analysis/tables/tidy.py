"""From an experiment to its tables: every number of every run, and the summary per variant beside the paper's numbers."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from analysis.results.experiment import Experiment, MissingResult, Variant
from analysis.statistics.intervals import Difference, over_images, over_seeds, sample_sd
from analysis.tables.metrics import value
from experiments.store.metrics import Metric

SUMMARY = ("variant", "label", "metric", "unit", "mean", "sd", "n", "planned", "change", "low", "high", "method", "clearly",
           "paper", "paper_change", "minus_paper", "holes")  # fmt: skip
"""Columns of `summary`, which explains them."""

COMPARED_BY_IMAGES = ("AP", "AP50", "AP75")
"""Precisions whose change always gets a bootstrap interval, besides those of the headline; one accumulation gives all three."""


def tidy(experiment: Experiment) -> pd.DataFrame:
    """One row per variant, seed and metric.

    Columns: variant, seed, metric, value (in the metric's unit; NaN in a hole), unit, stage (id, None where not planned),
    state (of that stage), reason (why there is no value, else None). Metrics that no variant plans to measure are left out, and
    the AP at each IoU threshold unless the headline or the paper's values name one of them.
    """
    planned = set(experiment.kinds())
    wanted = _by_iou_wanted(experiment)
    metrics = [m for m in experiment.metrics.values() if m.kind in planned and (not m.by_iou or m.iou_type in wanted)]
    rows = [
        _row(experiment, variant.name, seed, metric)
        for variant in experiment.variants
        for seed in experiment.seeds_of(variant.name)
        for metric in metrics
    ]
    return pd.DataFrame(rows, columns=["variant", "seed", "metric", "value", "unit", "stage", "state", "reason"])


def summary(experiment: Experiment) -> pd.DataFrame:
    """One row per variant and metric.

    Columns:
        variant, label, metric, unit;
        mean, sd (sample standard deviation over seeds, NaN for one seed), n (seeds measured), planned (seeds planned);
        change (variant - reference over the seeds that both have; NaN for the reference), low, high (95 % interval),
        method (`statistics.Method`), clearly (bool);
        paper, paper_change (against the paper's value for the reference variant);
        minus_paper (ours - paper; NaN except at the paper's scale);
        holes (why values are missing, else "").
    """
    numbers = tidy(experiment)
    rows = []
    for variant in experiment.variants:
        differences = changes(experiment, numbers, variant.name)
        for name in numbers["metric"].unique():
            rows.append(_summary_row(experiment, numbers, variant, experiment.metrics[name], differences.get(name)))
    return pd.DataFrame(rows, columns=list(SUMMARY))


def changes(experiment: Experiment, numbers: pd.DataFrame, variant: str) -> dict[str, Difference]:
    """Each metric's paired difference of a variant against the reference; metrics without a common seed are left out.

    Variants that share the reference's training are compared over images, the others over seeds.
    """
    reference = experiment.reference
    if variant == reference:
        return {}
    wide = numbers.pivot(index=["metric", "seed"], columns="variant", values="value")
    if variant not in wide or reference not in wide:
        return {}
    paired = (wide[variant] - wide[reference]).dropna()
    found = {
        str(name): over_seeds(values.droplevel("metric").tolist())
        for name, values in paired.groupby(level="metric", sort=False)
    }
    return {**found, **_over_images(experiment, variant, found)}


def best_variant(experiment: Experiment, table: pd.DataFrame) -> Variant:
    """The variant with the best mean of the first headline metric.

    Raises:
        MissingResult: no variant has it.
    """
    metric = experiment.headline[0]
    rows = table[(table["metric"] == metric) & table["mean"].notna()]
    if rows.empty:
        raise MissingResult(f"no variant has a {metric}")
    index = rows["mean"].idxmin() if experiment.metrics[metric].better == "lower" else rows["mean"].idxmax()
    return experiment.variant(str(rows.loc[index, "variant"]))


def published(experiment: Experiment) -> pd.DataFrame:
    """Values of methods that were not run here: one row per method and metric, with the columns of `summary`.

    `variant` and all columns of our own values are empty, `label` and `paper` are filled, `method` is "published".
    """
    rows = [
        {
            "label": row.label,
            "metric": name,
            "unit": experiment.metrics[name].unit,
            "method": "published",
            "paper": float(number),
        }
        for row in experiment.published
        for name, number in row.values.items()
    ]
    return pd.DataFrame(rows, columns=list(SUMMARY))


def holes(experiment: Experiment) -> pd.DataFrame:
    """What failed or is missing: one row per variant, seed and stage kind, with columns variant, seed, kind, stage, reason."""
    rows = [
        (variant.name, seed, kind, experiment.stage_id(variant.name, seed, kind), reason)
        for variant in experiment.variants
        for seed in experiment.seeds_of(variant.name)
        for kind in experiment.kinds()
        if experiment.stage_id(variant.name, seed, kind) and (reason := experiment.reason(variant.name, seed, kind))
    ]
    return pd.DataFrame(rows, columns=["variant", "seed", "kind", "stage", "reason"])


def _row(experiment: Experiment, variant: str, seed: int, metric: Metric) -> dict[str, object]:
    stage = experiment.stage_id(variant, seed, metric.kind)
    try:
        number, reason = value(experiment, variant, seed, metric), None
    except MissingResult as missing:
        number, reason = math.nan, str(missing)
    return {"variant": variant, "seed": seed, "metric": metric.name, "value": number, "unit": metric.unit, "stage": stage,
            "state": experiment.state(stage) if stage else "planned", "reason": reason}  # fmt: skip


def _over_images(experiment: Experiment, variant: str, seeds: dict[str, Difference]) -> dict[str, Difference]:
    """Bootstrap differences where they say more than the seeds: a shared training, or a single seed."""
    shared = experiment.shares_training(variant, experiment.reference)
    found = {}
    for prefix, iou_type in (("mask", "segm"), ("box", "bbox")):
        asked = [experiment.metrics[name] for name in experiment.headline]
        headline = [metric.coco_name for metric in asked if metric.iou_type == iou_type]
        compared = dict.fromkeys((*COMPARED_BY_IMAGES, *headline))
        names = tuple(name for name in compared if f"{prefix}_{name}" in seeds)
        pairs = match_files(experiment, variant, experiment.reference)
        if names and pairs and (shared or len(pairs) == 1):
            by_images = over_images(pairs, iou_type, names, retrained=not shared)
            found.update({f"{prefix}_{name}": difference for name, difference in by_images.items()})
    return found


def match_files(experiment: Experiment, variant: str, reference: str) -> list[tuple[Path, Path]]:
    """(variant's, reference's) matches.npz of every seed that has both, by COCO's rules: others don't accumulate so."""
    pairs = []
    for seed in experiment.seeds_of(variant):
        try:
            names = (variant, reference)
            if any(_rules(experiment, name, seed) != "coco" for name in names):
                continue
            ours, theirs = (experiment.path(name, seed, "coco", "matches.npz") for name in names)
        except MissingResult:
            continue
        pairs.append((ours, theirs))
    return pairs


def _rules(experiment: Experiment, variant: str, seed: int) -> str:
    """The rules that a run was evaluated by."""
    stage = experiment.stage_id(variant, seed, "coco")
    view = experiment.view(stage) if stage else None
    return view.record["fields"].get("evaluation", {}).get("rules", "coco") if view else "coco"


def _by_iou_wanted(experiment: Experiment) -> set[str | None]:
    """IoU types of which a headline or paper value names an AP at an uncommon threshold."""
    named = {*experiment.headline, *(name for variant in experiment.variants for name in variant.paper)}
    asked = [experiment.metrics[name] for name in named if name in experiment.metrics]
    return {metric.iou_type for metric in asked if metric.by_iou}


def _summary_row(
    experiment: Experiment, numbers: pd.DataFrame, variant: Variant, metric: Metric, difference: Difference | None
) -> dict[str, object]:
    own = numbers[(numbers["variant"] == variant.name) & (numbers["metric"] == metric.name)]
    values = own["value"].dropna().tolist()
    mean = math.fsum(values) / len(values) if values else math.nan
    missing = own[own["value"].isna()]
    paper = _paper(variant, metric)
    paper_reference = _paper(experiment.variant(experiment.reference), metric)
    return {
        "variant": variant.name,
        "label": variant.label,
        "metric": metric.name,
        "unit": metric.unit,
        "mean": mean,
        "sd": sample_sd(values),
        "n": len(values),
        "planned": len(own),
        "change": difference.mean if difference else math.nan,
        "low": difference.low if difference else math.nan,
        "high": difference.high if difference else math.nan,
        "method": difference.method if difference else "none",
        "clearly": bool(difference and difference.clearly),
        "paper": paper,
        "paper_change": paper - paper_reference if variant.name != experiment.reference else math.nan,
        "minus_paper": mean - paper if experiment.at_paper_scale else math.nan,
        "holes": "; ".join(_grouped(missing)),
    }


def _paper(variant: Variant, metric: Metric) -> float:
    found = variant.paper.get(metric.name)
    return math.nan if found is None else float(found)


def _grouped(missing: pd.DataFrame) -> list[str]:
    """Reasons, each with the seeds that it explains."""
    return [
        f"seed{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows['seed']))}: {reason}"
        for reason, rows in missing.groupby("reason", sort=False)
    ]
