"""Where masks spill and where they fail, against crowding and overlap, from the `leakage` stages.

Rates are over the objects of all seeds; their 95 % intervals are percentiles of a bootstrap over images, in which an image
brings all its objects and all seeds along.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.results.experiment import Experiment, MissingResult
from analysis.results.frames import table
from analysis.statistics.bootstrap import resample

RESAMPLES = 1000
Bins = dict[str, tuple[float, float]]
SIZES: Bins = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, np.inf)}
"""COCO's sizes: areas in pixels of the image, from the first on, below the second."""
NEIGHBOURS: Bins = {"0": (0, 1), "1": (1, 2), "2": (2, 3), "3 and more": (3, np.inf)}
"""Bins of the number of same-class neighbours whose boxes touch."""
OVERLAPS: Bins = {"none": (0, 1e-9), "to 0.1": (1e-9, 0.1), "0.1 to 0.3": (0.1, 0.3), "above 0.3": (0.3, np.inf)}
"""Bins of the largest box IoU with a same-class neighbour."""
BINS: dict[str, tuple[str, Bins]] = {
    "size": ("area", SIZES),
    "neighbours": ("neighbours", NEIGHBOURS),
    "overlap": ("neighbour_iou", OVERLAPS),
}
RATES = {
    "failed": "mask IoU below 0.5 though the box was found",
    "merged_half": "half of a neighbour taken in",
    "missed": "box not found",
}
"""Columns of `rates`, in words."""


def objects(experiment: Experiment) -> pd.DataFrame:
    """Every annotated object of every variant and seed: the columns of leakage.csv, variant, label, seed.

    Raises:
        MissingResult: nothing was measured.
    """
    return table(experiment, "leakage", "leakage.csv").rename(columns={"label_": "class"})


def binned(frame: pd.DataFrame, by: str) -> pd.DataFrame:
    """`objects` with a column `bin`, a label of BINS[by]."""
    column, bins = BINS[by]
    edges = [low for low, _ in bins.values()] + [np.inf]
    cut = pd.cut(frame[column], edges, right=False, labels=list(bins))
    return frame.assign(bin=cut)


def rates(experiment: Experiment, by: str) -> pd.DataFrame:
    """How often objects fail, per variant and bin.

    Args:
        by: of BINS.

    Returns:
        Columns variant, label, bin, rate (of RATES), value, low, high (percent, 95 % interval; NaN without objects), objects
        (that the rate is a share of, over all seeds). `failed` and `merged_half` are shares of the objects found, the latter of
        those with a neighbour inside their box; `missed` of all.

    Raises:
        MissingResult: nothing was measured.
    """
    frame = binned(objects(experiment), by)
    found = frame["found"] == 1
    events = {
        "failed": (found, frame["failed"] == 1),
        "merged_half": (found & frame["merged"].notna(), frame["merged"] >= 0.5),
        "missed": (frame["found"] >= 0, ~found),
    }
    rows = []
    for (variant, label, bin_), own in frame.groupby(["variant", "label", "bin"], observed=True):
        for rate, (of, event) in events.items():
            among = of.loc[own.index]
            value, low, high = _share(own[among], event.loc[own.index][among])
            numbers = {"value": value, "low": low, "high": high, "objects": int(among.sum())}
            rows.append({"variant": variant, "label": label, "bin": bin_, "rate": rate, **numbers})
    return _reference_first(experiment, pd.DataFrame(rows))


def spread(experiment: Experiment, by: str = "size") -> pd.DataFrame:
    """What masks hold beside their objects, per variant and bin: means over the objects found, of all seeds.

    Returns:
        Columns variant, label, bin, leak_same, leak_other, leak_background (percent of the mask's pixels), spill (percent
        of the uncropped mask's), mask_iou, uncropped_iou (0..1), objects (found), n (seeds).

    Raises:
        MissingResult: nothing was measured.
    """
    frame = binned(objects(experiment), by)
    frame = frame[frame["found"] == 1].assign(leak_background=frame["leak"] - frame["leak_same"] - frame["leak_other"])
    shares = ["leak_same", "leak_other", "leak_background", "spill"]
    frame[shares] *= 100
    groups = frame.groupby(["variant", "label", "bin"], observed=True)
    means = groups[[*shares, "mask_iou", "uncropped_iou"]].mean()
    counted = means.join(groups.agg(objects=("found", "size"), n=("seed", "nunique"))).reset_index()
    return _reference_first(experiment, counted)


def _reference_first(experiment: Experiment, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows in the experiment's order of variants, otherwise as they stand."""
    return frame.sort_values(
        "variant", key=lambda names: names.map(experiment.colour_order.index), kind="stable", ignore_index=True
    )


def leakage_sentence(experiment: Experiment, variant: str) -> str:
    """What the numbers of a variant say, in one or two sentences.

    Raises:
        MissingResult: nothing was measured of it.
    """
    frame = objects(experiment)
    frame = frame[frame["variant"] == variant]
    label = experiment.variant(variant).label
    own = frame[frame["found"] == 1]
    if own.empty:
        raise MissingResult(f"no object was found by {label}")
    leak, same = 100 * own["leak"].mean(), 100 * own["leak_same"].mean()
    by = rates(experiment, "neighbours")
    by = by[(by["variant"] == variant) & (by["rate"] == "failed") & (by["objects"] > 0)]
    first, last = by.iloc[0], by.iloc[-1]
    says = f"{label}: {leak:.1f} % of a mask lies outside its object, {same:.1f} % on others of its class."
    if len(by) < 2:
        return says
    apart = last["low"] > first["high"] or last["high"] < first["low"]
    return (
        f"{says} Of the objects that boxes find, the mask fails for {_rate(first)} with {first['bin']} touching "
        f"neighbours of the class and for {_rate(last)} with {last['bin']}; "
        + ("crowding makes masks fail." if apart and last["value"] > first["value"] else "the intervals overlap.")
    )


def _rate(row: pd.Series) -> str:
    return f"{row['value']:.1f} % [{row['low']:.1f}, {row['high']:.1f}]"


def _share(own: pd.DataFrame, event: pd.Series) -> tuple[float, float, float]:
    """(percent, low, high) of the rows of `own` for which `event` is true, resampling images."""
    if own.empty:
        return np.nan, np.nan, np.nan
    per_image = pd.DataFrame({"image": own["image_id"], "event": event}).groupby("image")["event"].agg(["sum", "size"])
    counts = per_image.to_numpy(float)
    weights = resample(len(counts), RESAMPLES)
    sums = weights @ counts
    values = 100 * sums[:, 0] / np.maximum(sums[:, 1], 1)
    low, high = np.percentile(values[sums[:, 1] > 0], [2.5, 97.5])
    return 100 * counts[:, 0].sum() / counts[:, 1].sum(), float(low), float(high)
