"""What each part of a network costs in AP: ground truth in its place, and noise on the coefficients."""

from __future__ import annotations

import math

import pandas as pd

from analysis.interventions.compression.read import prototypes_of
from analysis.results.experiment import Experiment, MissingResult
from analysis.statistics.intervals import Difference, over_images, over_seeds, sample_sd
from analysis.tables.metrics import value
from analysis.tables.tidy import COMPARED_BY_IMAGES, match_files
from experiments.store.metrics import METRICS

STEPS = (
    ("coefficients", "predicting the coefficients", None, "coefficients"),
    ("prototypes", "what the prototypes cannot span", "coefficients", "prototypes"),
    ("crop", "crop and resolution", "prototypes", "masks"),
    ("detection", "detection: boxes, classes, ranking", "masks", None),
)
"""(name, words, the part replaced before, the part replaced after): the way from the predicted masks to an AP of 100."""
ON = {"all": "on every coefficient", "one": "on one coefficient per detection"}
_PART, _KIND = "inference.intervention.part", "inference.intervention.kind"


def budget(experiment: Experiment) -> pd.DataFrame:
    """Where the mask AP is lost, in the order of STEPS after a first row `predicted`.

    Columns: part, label, gain (percent points of mask AP, mean over seeds; of `predicted` the AP itself), sd (over seeds), n,
    low, high (95 % interval of the gain; NaN for `predicted` and `detection`), share (of the gap between predicted and
    ground-truth masks; NaN for `predicted` and `detection`).

    Raises:
        MissingResult: a step was not measured.
    """
    variants = {part: _variant_of(experiment, part) for part in (None, "coefficients", "prototypes", "masks")}
    seeds = _common_seeds(experiment, list(variants.values()))
    scores = {part: [_mask_ap(experiment, name, seed) for seed in seeds] for part, name in variants.items()}
    rows = [_row("predicted", "as predicted", scores[None], Difference(math.nan, math.nan, math.nan, 0, "none"))]
    for name, label, before, after in STEPS:
        if after is None:
            gains, difference = [100 - one for one in scores[before]], Difference(math.nan, math.nan, math.nan, 0, "none")
        else:
            gains = [new - old for new, old in zip(scores[after], scores[before], strict=True)]
            difference = _difference(experiment, variants[after], variants[before], gains)
        rows.append(_row(name, label, gains, difference))
    frame = pd.DataFrame(rows)
    gap = frame["gain"][1:4].sum()
    frame["share"] = [math.nan, *(frame["gain"][1:4] / gap if gap > 0 else [math.nan] * 3), math.nan]
    return frame


def budget_answer(experiment: Experiment) -> str:
    """One sentence: how the gap between predicted and ground-truth masks splits.

    Raises:
        MissingResult: as `budget`.
    """
    frame = budget(experiment).set_index("part")
    gap = frame["gain"][["coefficients", "prototypes", "crop"]].sum()
    seeds = f"{frame['n'].iloc[0]} seeds" if frame["n"].iloc[0] > 1 else "ONE seed"
    parts = [
        f"{_signed(frame.loc[name])} {words}"
        for name, words in (
            ("coefficients", "by better coefficients on the same prototypes"),
            ("prototypes", "by prototypes that span every mask"),
            ("crop", "by masks that neither the predicted box nor the resolution cuts"),
        )
    ]
    return (
        f"On {experiment.data} at scale {experiment.scale} ({seeds}), ground-truth masks on the network's detections would "
        f"raise the mask AP from {frame.loc['predicted', 'gain']:.1f} by {gap:.1f} points: {', '.join(parts)}; the remaining "
        f"{frame.loc['detection', 'gain']:.1f} points to 100 are the detector's."
    )


def swaps(experiment: Experiment, table: pd.DataFrame) -> pd.DataFrame:
    """One row per replaced part and metric (`mask_AP`, `box_AP`): variant, part, metric, mean, sd, n, change, low, high.

    Args:
        table: of `tables.summary`.

    Raises:
        MissingResult: no part was replaced.
    """
    parts = {v.name: v.changes[_PART] for v in experiment.variants if v.changes.get(_KIND) == "oracle"}
    rows = table[table["variant"].isin(parts) & table["metric"].isin(["mask_AP", "box_AP"]) & table["mean"].notna()]
    if rows.empty:
        raise MissingResult("no network was evaluated with ground truth in the place of a part")
    found = rows.assign(part=rows["variant"].map(parts))
    return found[["variant", "part", "metric", "mean", "sd", "n", "change", "low", "high"]].reset_index(drop=True)


def noise(experiment: Experiment) -> pd.DataFrame:
    """Mask AP against noise on the coefficients: one row per number of prototypes k, `on` (of ON) and standard deviation.

    Columns: k, on, std, variant, mean (percent), sd, n, change (points, against the same networks without noise), low, high
    (its 95 % interval), kept (share of the AP without noise). Rows of std 0 are the networks without noise.

    Raises:
        MissingResult: no network was evaluated with noise, or not without.
    """
    base = prototypes_of(experiment)
    settings = {v.name: _noise_of(v.changes, base) for v in experiment.variants}
    plain = {k: name for name, (k, on, _) in settings.items() if on is None}
    noisy = [(k, on, std, name) for name, (k, on, std) in settings.items() if on is not None and k in plain]
    without = [(k, on, 0.0, plain[k]) for k, on in dict.fromkeys((k, on) for k, on, *_ in noisy)]
    rows = [
        {"k": k, "on": on, "std": std, "variant": name, **_against(experiment, name, plain[k])}
        for k, on, std, name in sorted([*without, *noisy])
    ]
    frame = pd.DataFrame([row for row in rows if row["n"]])
    if frame.empty or not (frame["std"] > 0).any():
        raise MissingResult("no network was evaluated with noise on its coefficients and without")
    return frame


def _noise_of(changes, base: int) -> tuple[int, str | None, float]:
    """(k, on, std) of a variant; `on` is None without noise. The config's defaults stand for what it doesn't set."""
    k = int(changes.get("model.mask_branch.k", base))
    noisy = changes.get(_KIND, "noise" if "inference.intervention.std" in changes else "none") == "noise"
    if not noisy:
        return k, None, 0.0
    return k, changes.get("inference.intervention.on", "all"), float(changes.get("inference.intervention.std", 0.1))


def _against(experiment: Experiment, variant: str, plain: str) -> dict[str, float]:
    seeds = _seeds_with_ap(experiment, [variant, plain])
    ours, theirs = ([_mask_ap(experiment, name, seed) for seed in seeds] for name in (variant, plain))
    if not seeds:
        return {
            "mean": math.nan,
            "sd": math.nan,
            "n": 0,
            "change": math.nan,
            "low": math.nan,
            "high": math.nan,
            "kept": math.nan,
        }
    mean, reference = math.fsum(ours) / len(seeds), math.fsum(theirs) / len(seeds)
    changes = [a - b for a, b in zip(ours, theirs, strict=True)]
    same = Difference(0.0, 0.0, 0.0, len(seeds), "images")
    found = same if variant == plain else _difference(experiment, variant, plain, changes)
    return {
        "mean": mean,
        "sd": sample_sd(ours),
        "n": len(seeds),
        "change": mean - reference,
        "low": found.low,
        "high": found.high,
        "kept": mean / reference if reference > 0 else math.nan,
    }


def _variant_of(experiment: Experiment, part: str | None) -> str:
    """The variant with ground truth in the place of this part and nothing else changed; the reference for None."""
    if part is None:
        return experiment.reference
    for variant in experiment.variants:
        if variant.changes.get(_KIND) == "oracle" and variant.changes.get(_PART) == part and len(variant.changes) == 2:
            return variant.name
    raise MissingResult(f"no variant puts ground truth in the place of the {part}")


def _common_seeds(experiment: Experiment, names: list[str]) -> list[int]:
    seeds = _seeds_with_ap(experiment, names)
    if not seeds:
        raise MissingResult(f"no seed has the mask AP of all of {', '.join(names)}")
    return seeds


def _seeds_with_ap(experiment: Experiment, names: list[str]) -> list[int]:
    found = []
    for seed in experiment.seeds_of(names[0]):
        try:
            for name in names:
                _mask_ap(experiment, name, seed)
        except MissingResult:
            continue
        found.append(seed)
    return found


def _mask_ap(experiment: Experiment, variant: str, seed: int) -> float:
    return value(experiment, variant, seed, METRICS["mask_AP"])


def _difference(experiment: Experiment, variant: str, reference: str, changes: list[float]) -> Difference:
    """Over images, since the two share their trainings; over seeds where the matches can't be accumulated again."""
    pairs = match_files(experiment, variant, reference)
    if not pairs:
        return over_seeds(changes)
    retrained = not experiment.shares_training(variant, reference)
    return over_images(pairs, "segm", COMPARED_BY_IMAGES, retrained)["AP"]


def _row(part: str, label: str, gains: list[float], difference: Difference) -> dict[str, object]:
    return {"part": part, "label": label, "gain": math.fsum(gains) / len(gains), "sd": sample_sd(gains), "n": len(gains),
            "low": difference.low, "high": difference.high}  # fmt: skip


def _signed(row: pd.Series) -> str:
    """`12.5 [10.1, 14.2] points (36 %)`."""
    return f"{row['gain']:.1f} [{row['low']:.1f}, {row['high']:.1f}] points ({100 * row['share']:.0f} %)"
