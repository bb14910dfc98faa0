"""The coefficients of a network's detections as data frames: how they are distributed, what is subtracted, what the best reach.

k prototypes; prototype i of one training has nothing to do with prototype i of another. Detections are those that find an
object (`yolact/evaluation/objects.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.results.experiment import Experiment, MissingResult, every

QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}
IOUS = {
    "iou": "as predicted",
    "best_iou": "best coefficients in their range",
    "free_iou": "best coefficients of any size",
    "other_iou": "best coefficients on another image's prototypes",
    "limit_iou": "prototypes that span every mask",
}
"""Mask IoUs of a detection with the object it finds, in words."""


@dataclass(frozen=True)
class Coefficients:
    """One network's detections that find an object, n of them."""

    seed: int
    values: NDArray[np.float32]
    """(n, k) as predicted."""
    activation: NDArray[np.float32]
    """(n, k) mean |prototype| in the crop."""
    classes: NDArray[np.str_]
    """(n,) names."""
    best: NDArray[np.float32]
    """(n, k) those that fit the object best, in the range of the network's activation."""
    ious: dict[str, NDArray[np.float32]]
    """(n,) for each of IOUS."""

    @property
    def contribution(self) -> NDArray[np.float32]:
        """(n, k) coefficient × activation: what each prototype adds to the mask's logits, or subtracts."""
        return self.values * self.activation


def read_coefficients(experiment: Experiment, variant: str) -> list[Coefficients]:
    """One per seed whose network has prototypes and whose detections found an object.

    Raises:
        MissingResult: there is none.
    """
    otherwise = f"the coefficients of {experiment.variant(variant).label} were not measured"
    return [one for *_, one in every(experiment, _read, otherwise, [variant])]


def _read(experiment: Experiment, variant: str, seed: int) -> Coefficients:
    label = experiment.variant(variant).label
    if not experiment.read(variant, seed, "coefficients", "summary.json")["prototypes"]:
        raise MissingResult(f"{label} has no prototypes")
    arrays = experiment.arrays(variant, seed, "coefficients", "coefficients.npz")
    own = arrays["detection"]
    if not len(own):
        raise MissingResult(f"no detection of {label} finds an object")
    return Coefficients(
        seed=seed,
        values=arrays["coefficients"][own],
        activation=arrays["activation"][own],
        classes=arrays["class_names"][arrays["label"][own]],
        best=arrays["best"],
        ious={name: arrays[name] for name in IOUS},
    )


def measured_variants(experiment: Experiment) -> list[str]:
    """The variants that `read_coefficients` has something of, the reference first.

    Raises:
        MissingResult: there is none.
    """
    return list(dict.fromkeys(variant for variant, *_ in every(experiment, _read, "no coefficients were measured")))


def coefficient_distribution(experiment: Experiment, variant: str) -> pd.DataFrame:
    """One row per seed and prototype.

    Columns: seed, prototype, detections, mean, sd, q05, q25, median, q75, q95 (of the coefficient), negative (share of
    detections with a negative coefficient), use (mean |coefficient| × activation), subtracted (the negative share of that use;
    NaN for a prototype without use).

    Raises:
        MissingResult: as `read_coefficients`.
    """
    return pd.concat([_distribution(one) for one in read_coefficients(experiment, variant)], ignore_index=True)


def sign_use(experiment: Experiment, variant: str) -> pd.DataFrame:
    """One row per seed and class, and one per seed for `all` classes.

    Columns: seed, class, detections, negative (share of coefficients below 0), subtracted (share of |coefficient| × activation
    that is subtracted).

    Raises:
        MissingResult: as `read_coefficients`.
    """
    rows = []
    for one in read_coefficients(experiment, variant):
        for name in ("all", *sorted(set(one.classes))):
            own = (one.classes == name) | (name == "all")
            rows.append((one.seed, str(name), int(own.sum()), float((one.values[own] < 0).mean()),
                         float(_negative_share(one.contribution[own]))))  # fmt: skip
    return pd.DataFrame(rows, columns=["seed", "class", "detections", "negative", "subtracted"])


def oracle_ious(experiment: Experiment, variant: str) -> pd.DataFrame:
    """One row per detection that finds an object: seed, class, and the mask IoUs `iou`, `best_iou`, `free_iou`, `other_iou`
    (NaN in a network's first image), `limit_iou`.

    Raises:
        MissingResult: as `read_coefficients`.
    """
    frames = [
        pd.DataFrame({"seed": one.seed, "class": one.classes, **one.ious}) for one in read_coefficients(experiment, variant)
    ]
    return pd.concat(frames, ignore_index=True)


def _distribution(one: Coefficients) -> pd.DataFrame:
    values = one.values.astype(np.float64)
    return pd.DataFrame(
        {
            "seed": one.seed,
            "prototype": range(values.shape[1]),
            "detections": len(values),
            "mean": values.mean(axis=0),
            "sd": values.std(axis=0, ddof=1) if len(values) > 1 else np.nan,
            **{name: np.quantile(values, quantile, axis=0) for name, quantile in QUANTILES.items()},
            "negative": (values < 0).mean(axis=0),
            "use": np.abs(one.contribution).mean(axis=0),
            "subtracted": _negative_share(one.contribution, axis=0),
        }
    )


def _negative_share(contribution: NDArray[np.float32], axis: int | None = None) -> NDArray[np.float64]:
    """The share of |contribution| that is negative; NaN where there is none."""
    size = np.abs(contribution.astype(np.float64)).sum(axis=axis)
    negative = -np.minimum(contribution.astype(np.float64), 0).sum(axis=axis)
    return np.divide(negative, size, out=np.full(np.shape(size), np.nan), where=size > 0)
