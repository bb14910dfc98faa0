"""How steady masks are over time: tables of what `stability` stages wrote, with intervals over sequences and over seeds."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.results.experiment import Experiment, MissingResult
from analysis.results.frames import table
from analysis.statistics.bootstrap import resample
from analysis.statistics.intervals import Difference, over_seeds, sample_sd
from yolact.measures.stability import MEASURE

MEASURES = {scalar.path[1]: scalar for scalar in MEASURE.scalars}
"""Declared scalars by their key in `summary.json`; `yolact/measures/stability/measure.py` defines them."""
_KEYS = ["variant", "seed", "sequence"]


def tracks(experiment: Experiment) -> pd.DataFrame:
    """tracks.csv of every finished stage, with columns variant and seed in front.

    Raises:
        MissingResult: no stage is finished.
    """
    return _read(experiment, "tracks.csv")


def objects(experiment: Experiment) -> pd.DataFrame:
    """objects.csv of every finished stage in the same way; empty for footage. Raises as `tracks` does."""
    return _read(experiment, "objects.csv")


def mask_pairs(experiment: Experiment) -> pd.DataFrame:
    """Every pair of successive frames whose masks were compared: columns variant, seed, sequence, frame, object, iou.

    Of annotated objects, where there are any, so that networks can be compared on the same; else (footage) of tracks, `object`
    then being the track. Raises as `tracks` does.
    """
    frame = objects(experiment)
    if frame.empty:
        frame = tracks(experiment).drop(columns="object").rename(columns={"track": "object"})
    return frame.loc[frame["iou"].notna(), [*_KEYS, "frame", "object", "iou"]].reset_index(drop=True)


def stability_table(experiment: Experiment) -> pd.DataFrame:
    """One row per variant and measure of `MEASURES`.

    Columns: variant, label, measure, name, unit; mean (over seeds), sd (sample standard deviation over seeds), n (seeds); low,
    high (95 % bootstrap interval over sequences, the same resample for every seed, over tracks for footage, which is a single
    sequence; it misses the variance between trainings);
    count (what was averaged, over all seeds: pairs of frames, frames, or objects). `iou` is that of `mask_pairs`. Raises as
    `tracks` does.
    """
    sums = _sums(experiment)
    rows = []
    for variant in experiment.variants:
        for name, measure in MEASURES.items():
            own = sums[(sums["variant"] == variant.name) & (sums["measure"] == name) & (sums["count"] > 0)]
            if own.empty:
                continue
            values = _per_seed(own)
            low, high = _over_sequences(own)
            rows.append(
                {"variant": variant.name, "label": variant.label, "measure": name, "name": measure.label, "unit": measure.unit,
                 "mean": float(np.mean(values)), "sd": sample_sd(values.tolist()), "n": len(values), "low": low, "high": high,
                 "count": int(own["count"].sum())}
            )  # fmt: skip
    columns = ["variant", "label", "measure", "name", "unit", "mean", "sd", "n", "low", "high", "count"]
    return pd.DataFrame(rows, columns=columns)


def steadiness(experiment: Experiment) -> pd.DataFrame:
    """The mask IoU of successive frames against the reference's, over the objects and frames in which both found it.

    Footage has no objects that tracks of two networks could be told to share: there, all tracks of each are compared.

    Columns: variant, label, own and reference (mean IoU over these), change (variant - reference), low, high (95 % interval:
    over paired seeds, or for one seed a bootstrap over sequences, of footage over tracks), n (seeds), method, clearly
    (`statistics.Difference`), paired (on the same objects and frames), count (the variant's pairs of frames, over all seeds).
    Raises MissingResult where nothing can be compared.
    """
    pairs, paired = mask_pairs(experiment), not objects(experiment).empty
    rows = []
    reference = pairs[pairs["variant"] == experiment.reference]
    for variant in experiment.variants:
        own, other = pairs[pairs["variant"] == variant.name], reference
        if paired:
            keys = ["seed", "sequence", "frame", "object"]
            own, other = own.merge(reference[keys], on=keys), reference.merge(own[keys], on=keys)
        common = set(own["seed"]) & set(other["seed"])
        own, other = own[own["seed"].isin(common)], other[other["seed"].isin(common)]
        if variant.name == experiment.reference or own.empty:
            continue
        found = _difference(own, other, paired)
        rows.append(
            {"variant": variant.name, "label": variant.label, "own": own.groupby("seed")["iou"].mean().mean(),
             "reference": other.groupby("seed")["iou"].mean().mean(), "change": found.mean, "low": found.low,
             "high": found.high, "n": found.n, "method": found.method, "clearly": found.clearly, "paired": paired,
             "count": len(own)}
        )  # fmt: skip
    if not rows:
        raise MissingResult("no two networks found the same object in the same frames, so none can be called steadier")
    return pd.DataFrame(rows)


def steadiest(experiment: Experiment) -> str:
    """Which networks' masks are steadier than the reference's, by how much, how surely; raises as `steadiness` does."""
    label = experiment.variant(experiment.reference).label
    return " ".join(_sentence(row, label) for row in steadiness(experiment).itertuples())


def _sentence(row, reference: str) -> str:
    ends = "no interval" if math.isnan(row.low) else f"95 % interval {row.low:+.3f} to {row.high:+.3f}"
    where = "on the same objects and frames" if row.paired else "over all tracks of each"
    over = f"n = {row.n} seeds" if row.method == "seeds" else "ONE seed, so that another training may differ"
    return (
        f"{_verdict(row, reference)}: from frame to frame, motion taken out, they overlap with themselves by an IoU of "
        f"{row.own:.3f} against {row.reference:.3f} {where} ({row.change:+.3f}; {ends}, {over})."
    )


def _verdict(row, reference: str) -> str:
    if row.method != "seeds":
        return f"It is undecided whether the masks of {row.label} are steadier than those of {reference}"
    if not row.clearly:
        return f"The masks of {row.label} are neither clearly steadier nor clearly less steady than those of {reference}"
    return f"The masks of {row.label} are clearly {'steadier' if row.change > 0 else 'less steady'} than those of {reference}"


def _read(experiment: Experiment, file: str) -> pd.DataFrame:
    return table(experiment, "stability", file).drop(columns="label").rename(columns={"label_": "label"})


def _sums(experiment: Experiment) -> pd.DataFrame:
    """Columns variant, seed, sequence, measure, sum, count: what each measure's mean is made of."""
    seen, shown = tracks(experiment), objects(experiment)
    if shown.empty:
        seen = seen.assign(sequence=seen["track"])
    shown = shown[shown["visible"] == 1].sort_values([*_KEYS, "object", "frame"])
    before = shown.groupby([*_KEYS, "object"])
    follows = before["frame"].diff() == 1
    found = shown[shown["found"] == 1]
    deviations = found.groupby([*_KEYS, "object"])["gt_iou"].std().rename("value").reset_index()
    changed = (before["found"].diff().abs() * 100)[follows]
    parts = {
        "iou": _clusters(mask_pairs(experiment), not shown.empty).rename(columns={"iou": "value"}),
        "flicker": shown[follows].assign(value=changed),
        "gaps": _gaps(seen),
        "box_jitter": seen.assign(value=seen["box_jitter"]),
        "score_change": seen.assign(value=seen["score_change"]),
        "gt_iou": found.assign(value=found["gt_iou"]),
        "gt_iou_sd": deviations,
        "found": shown.assign(value=100 * shown["found"]),
    }
    return pd.concat([_summed(frame, name) for name, frame in parts.items()], ignore_index=True)


def _summed(frame: pd.DataFrame, measure: str) -> pd.DataFrame:
    value = frame["value"].astype(float)  # a table without rows has columns of no type
    weight = frame["weight"] if "weight" in frame else value.notna().astype(float)
    sums = frame.assign(count=weight, sum=value * weight).groupby(_KEYS)[["sum", "count"]].sum().reset_index()
    return sums.assign(measure=measure)


def _gaps(seen: pd.DataFrame) -> pd.DataFrame:
    """Per track the share of its frames in which it was lost, and as `weight` how many these are."""
    grouped = seen.groupby([*_KEYS, "track"])["frame"]
    span = grouped.max() - grouped.min() + 1
    return (100 * (1 - grouped.count() / span)).rename("value").to_frame().assign(weight=span).reset_index()


def _per_seed(sums: pd.DataFrame) -> NDArray[np.float64]:
    totals = sums.groupby("seed")[["sum", "count"]].sum()
    return (totals["sum"] / totals["count"]).to_numpy()


def _clusters(pairs: pd.DataFrame, of_objects: bool) -> pd.DataFrame:
    """The pairs with what is resampled in the column sequence: sequences, or the tracks of footage."""
    return pairs if of_objects else pairs.assign(sequence=pairs["object"])


def _over_sequences(sums: pd.DataFrame) -> tuple[float, float]:
    """95 % interval of the mean over seeds, sequences drawn with replacement; NaN for a single sequence."""
    return _interval(_resampled(sums))


def _resampled(sums: pd.DataFrame, draw: int = 0) -> NDArray[np.float64]:
    """The mean over seeds on each resample of the sequences; empty for a single sequence."""
    wide = {name: sums.pivot_table(index="seed", columns="sequence", values=name, fill_value=0) for name in ("sum", "count")}
    sequences = wide["sum"].shape[1]
    if sequences < 2:
        return np.empty(0)
    weights = resample(sequences, seed=draw)
    total, count = (weights @ wide[name].to_numpy().T for name in ("sum", "count"))  # (resamples, seeds)
    with np.errstate(invalid="ignore"):
        return (total / count).mean(axis=1)


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    if not np.isfinite(values).any():
        return math.nan, math.nan
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def _difference(own: pd.DataFrame, other: pd.DataFrame, paired: bool) -> Difference:
    """Of the mean IoU of two networks' pairs of frames; `paired`: row by row the same sequences."""
    changes = own.groupby("seed")["iou"].mean() - other.groupby("seed")["iou"].mean()
    if len(changes) > 1:
        return over_seeds(changes.tolist())
    sums = [_summed(_clusters(pairs, paired).rename(columns={"iou": "value"}), "iou") for pairs in (own, other)]
    draws = (0, 0) if paired else (0, 1)  # tracks of two networks are drawn apart
    resampled = [_resampled(each, draw) for each, draw in zip(sums, draws, strict=True)]
    low, high = _interval(resampled[0] - resampled[1]) if all(map(len, resampled)) else (math.nan, math.nan)
    return Difference(float(changes.iloc[0]), low, high, 1, "none" if math.isnan(low) else "images of one seed")
