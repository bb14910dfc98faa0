"""Means and spreads of the columns of a frame, by group."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from analysis.statistics.intervals import sample_sd


def summary_over(frame: pd.DataFrame, by: list[str], names: Iterable[str]) -> pd.DataFrame:
    """One row per group of `by` and column of `names`, in the order in which they first occur.

    Returns:
        Columns of `by`, then name (of the column), mean, sd (sample standard deviation; NaN for fewer than two values), n
        (values; NaN are left out).
    """
    columns = list(names)
    rows = [
        (*keys, name, values.mean(), sample_sd(values.tolist()), len(values))
        for keys, own in frame.groupby(by, sort=False)
        for name in columns
        for values in [own[name].dropna()]
    ]
    return pd.DataFrame(rows, columns=[*by, "name", "mean", "sd", "n"])
