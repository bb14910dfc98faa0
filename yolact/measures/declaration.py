"""What a measure declares of itself: its configuration, its files and its scalars. Imports neither torch nor pandas."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from yolact.config.base import Config

UNDEFINED = -1
"""What COCO's evaluation gives in place of an average precision without ground truth."""


@dataclass(frozen=True)
class Scalar:
    """One number of a stage's result: a metric of specs, tables and `yolact diff`."""

    name: str
    """Of the metric, unique among all measures."""
    label: str
    """In words, as a heading."""
    unit: str
    """Of the reported value; "" for a number without one."""
    path: tuple[str, ...]
    """Keys in a JSON file, or the one column of a CSV file whose mean it is, over the rows that are not empty."""
    file: str = "summary.json"
    scale: float = 1.0
    """Factor from the stored to the reported unit."""
    decimals: int = 1
    better: Literal["higher", "lower"] | None = None
    """Which of two values is better; None where neither is."""
    undefined: float | None = None
    """A stored number that stands for no value."""

    @property
    def heading(self) -> str:
        """Label and unit, as above a column."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def change_unit(self) -> str:
        """Of a difference of two values."""
        return "points" if self.unit.startswith("%") else self.unit

    def of(self, contents: Any) -> float:
        """The reported value, from the contents of its file: parsed JSON, or {column: values} of a CSV file.

        A list counts its items; of a column, None, "" and NaN are left out.

        Raises:
            KeyError: the file has no such entry.
            ValueError: the entry is no finite number, or stands for no value.
        """
        place = ".".join(self.path)
        found = contents
        for key in self.path:
            if not isinstance(found, Mapping) or key not in found:
                raise KeyError(f"{self.file} has no {place}")
            found = found[key]
        if self.file.endswith(".csv"):
            values = [float(value) for value in found if value not in (None, "")]
            values = [value for value in values if not math.isnan(value)]
            found = math.fsum(values) / len(values) if values else None
        number = _number(found, f"{self.file}: {place}")
        if number == self.undefined:
            raise ValueError("undefined: no such instances in the data")
        return number * self.scale


def _number(found: Any, place: str) -> float:
    if found is None:
        raise ValueError(f"{place} is undefined")
    if isinstance(found, Sequence) and not isinstance(found, str):
        return float(len(found))
    if isinstance(found, str | Mapping):
        raise ValueError(f"{place} is no number")
    if not math.isfinite(found):
        raise ValueError(f"{place} is {found}")
    return float(found)


@dataclass(frozen=True)
class File:
    """One file of a measure's result."""

    name: str
    about: str
    """One sentence."""
    parts: str = ""
    """Its columns (CSV), arrays (.npz) or keys (JSON) with their shapes and units."""


@dataclass(frozen=True)
class Measure:
    """A measure of a trained network. It is a stage kind and a field of the run configuration, both under its name."""

    name: str
    config: type[Config]
    """Every field has a default."""
    version: int
    """Bumped by hand whenever the bytes of the result change for the same fields."""
    input: Literal["train", "predict"]
    """The stage that it reads: the network, or its stored detections."""
    function: str
    """"module:function" that writes the result, imported only where the stage runs.

    Of a network: `(folder, look, config)` with a `yolact.measures.context.Look`. Of detections: `(folder, annotations,
    detections, masks, config)` with the paths of both files and whether masks were made.
    """
    title: str
    """What it finds out, in a few words."""
    files: tuple[File, ...]
    scalars: tuple[Scalar, ...] = ()
