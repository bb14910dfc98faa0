"""One result file of every variant and seed as one tidy frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from analysis.results.contents import read_json, read_table
from analysis.results.experiment import Experiment, every


def table(experiment: Experiment, kind: str, file: str) -> pd.DataFrame:
    """A CSV file (its rows) or a JSON file (one row, nested keys joined by dots) of a stage kind, all that are there.

    Returns:
        Columns variant, label, seed, then the file's. Where the file has a column of one of these names, it is `<name>_`.

    Raises:
        MissingResult: no variant and seed has it; the message says why.
    """
    found = every(experiment, lambda e, variant, seed: _rows(e.path(variant, seed, kind, file)), f"{kind} was not measured")
    frames = []
    for variant, seed, rows in found:
        own = rows.rename(columns={name: f"{name}_" for name in ("variant", "label", "seed")})
        own.insert(0, "seed", seed)
        own.insert(0, "label", experiment.variant(variant).label)
        own.insert(0, "variant", variant)
        frames.append(own)
    return pd.concat(frames, ignore_index=True)


def _rows(path: Path) -> pd.DataFrame:
    if path.suffix == ".csv":
        return read_table(path)
    contents: dict[str, Any] = read_json(path)
    return pd.json_normalize(contents)
