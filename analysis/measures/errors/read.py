"""Where the AP is lost: TIDE's error types and boundary AP per variant, from the `errors` stages.

`yolact/evaluation/tide.py` defines the types. Spread is over seeds. A bootstrap over images isn't offered: it would need
every detection's type, which the stage doesn't keep.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pandas as pd

from analysis.results.experiment import Experiment, MissingResult, every
from analysis.statistics.intervals import over_seeds
from yolact.measures.errors import FIXES

SPECIAL = {"FP": "all false positives", "FN": "all false negatives"}
IOU_TYPES = {"bbox": "boxes", "segm": "masks"}


def read_errors(experiment: Experiment) -> pd.DataFrame:
    """One row per variant, seed, iou type and fix.

    Returns:
        Columns variant, label, seed, iou_type (`bbox`, `segm`), AP50 (%), fix (of FIXES and SPECIAL), delta (AP50 gained by
        fixing it, in points; NaN without ground truth), count (of detections, or of instances for Miss and FN).

    Raises:
        MissingResult: no error budget is there.
    """
    rows = [
        {"variant": variant, "label": experiment.variant(variant).label, "seed": seed, "iou_type": iou_type,
         "AP50": 100 * budget["AP50"], "fix": fix, "delta": float("nan") if delta is None else 100 * delta,
         "count": budget["count"][fix]}
        for variant, seed, found in _found(experiment)
        for iou_type, budget in found.items()
        for fix, delta in budget["delta"].items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def error_table(experiment: Experiment) -> pd.DataFrame:
    """One row per variant, iou type and fix: mean and sample standard deviation over seeds.

    Returns:
        Columns variant, label, iou_type, fix, delta, sd (points; sd is NaN for one seed), count (mean over seeds), n (seeds).

    Raises:
        MissingResult: no error budget is there.
    """
    groups = read_errors(experiment).groupby(["variant", "label", "iou_type", "fix"], sort=False)
    return groups.agg(delta=("delta", "mean"), sd=("delta", "std"), count=("count", "mean"), n=("seed", "size")).reset_index()


def largest_error(experiment: Experiment, variant: str | None = None) -> str:
    """One sentence per iou type that names the error type whose fix gains most AP50, and the next one.

    "Clearly" means that the 95 % interval of their difference over seeds excludes 0.

    Args:
        variant: whose; None takes the reference.

    Raises:
        MissingResult: the variant has no error budget.
    """
    name = variant or experiment.reference
    errors = read_errors(experiment)
    own = errors[(errors["variant"] == name) & errors["fix"].isin(list(FIXES)) & errors["delta"].notna()]
    if own.empty:
        raise MissingResult(f"no error budget of {experiment.variant(name).label}")
    return " ".join(_largest(IOU_TYPES[iou_type], part) for iou_type, part in own.groupby("iou_type"))


def _largest(things: str, part: pd.DataFrame) -> str:
    label, count = part["label"].iloc[0], part.groupby("fix")["count"].mean()
    deltas = part.pivot(index="seed", columns="fix", values="delta")
    first, second = deltas.mean().sort_values(ascending=False, kind="stable").index[:2]
    mean, spread, n = deltas[first].mean(), deltas[first].std(), len(deltas)
    if mean < 0.05:
        return f"Among the {things} of {label}, no single type of error costs AP50 by itself."
    ahead = over_seeds((deltas[first] - deltas[second]).tolist())
    sure = "ONE seed; next is" if n == 1 else f"n = {n} seeds; {'clearly' if ahead.clearly else 'not clearly'} more than"
    return (
        f"Among the {things} of {label}, errors of type {first} ({FIXES[first]}) cost most: fixing these "
        f"{count[first]:.0f} alone gains {mean:.1f}{f' ± {spread:.1f}' if n > 1 else ''} points of AP50 ({sure} {second} with "
        f"{deltas[second].mean():.1f})."
    )


def boundary_table(experiment: Experiment) -> pd.DataFrame:
    """Boundary AP beside mask AP, one row per variant: means and sample standard deviations over seeds, in percent.

    Returns:
        Columns variant, label, mask_AP, mask_AP_sd, boundary_AP, boundary_AP_sd, lost (mask AP − boundary AP), lost_sd,
        boundary_AP50, boundary_AP75, n (seeds that have both). A sd is NaN for one seed.

    Raises:
        MissingResult: no seed of any variant has both.
    """
    both = every(experiment, _boundary, "no seed has both a mask AP and a boundary AP")
    rows = [{"variant": variant, "label": experiment.variant(variant).label, **found} for variant, _, found in both]
    groups = pd.DataFrame(rows).groupby(["variant", "label"], sort=False)
    return groups.agg(
        mask_AP=("mask", "mean"), mask_AP_sd=("mask", "std"), boundary_AP=("boundary", "mean"),
        boundary_AP_sd=("boundary", "std"), lost=("lost", "mean"), lost_sd=("lost", "std"), boundary_AP50=("b50", "mean"),
        boundary_AP75=("b75", "mean"), n=("mask", "size"),
    ).reset_index()  # fmt: skip


def _boundary(experiment: Experiment, variant: str, seed: int) -> dict[str, float]:
    mask = experiment.read(variant, seed, "coco", "metrics.json")["segm"]["AP"]
    boundary = experiment.read(variant, seed, "errors", "errors.json")["segm"]["boundary"]["metrics"]
    if min(mask, boundary["AP"]) < 0:
        raise MissingResult("no such instances in the data")
    return {"mask": 100 * mask, "boundary": 100 * boundary["AP"], "lost": 100 * (mask - boundary["AP"]),
            "b50": 100 * boundary["AP50"], "b75": 100 * boundary["AP75"]}  # fmt: skip


def read_ap_by_iou(experiment: Experiment) -> pd.DataFrame:
    """AP at each IoU threshold, of masks and of their boundaries: columns variant, seed, kind (`mask`, `boundary`), iou (0..1),
    AP (%). Boundaries only where an `errors` stage measured them.

    Raises:
        MissingResult: no mask was evaluated.
    """
    rows = [row for *_, found in every(experiment, _by_iou, "no mask was evaluated") for row in found]
    return pd.DataFrame(rows)


def _by_iou(experiment: Experiment, variant: str, seed: int) -> list[dict[str, Any]]:
    """Rows of one run: of masks, and of their boundaries if they were measured."""
    kinds = {"mask": experiment.read(variant, seed, "coco", "curves.json")["segm"]["ap_per_iou"]}
    with suppress(MissingResult):
        kinds["boundary"] = experiment.read(variant, seed, "errors", "errors.json")["segm"]["boundary"]["ap_per_iou"]
    rows = [
        {"variant": variant, "seed": seed, "kind": kind, "iou": float(iou), "AP": 100 * ap}
        for kind, found in kinds.items()
        for iou, ap in found.items()
        if ap >= 0
    ]
    if not rows:
        raise MissingResult("no such instances in the data")
    return rows


def _found(experiment: Experiment) -> list[tuple[str, int, dict[str, Any]]]:
    """(variant, seed, errors.json) of all that is measured, the reference first."""
    return every(
        experiment, lambda e, variant, seed: e.read(variant, seed, "errors", "errors.json"), "no error budget was measured"
    )
