"""How a data frame is set as a table: which columns are shown, under which words, with how many digits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis.tables.layout import CLEARLY, SINGLE, Table, signed

_DIGITS = 3
"""Significant digits of a number whose column doesn't fix its decimals."""


@dataclass(frozen=True)
class Column:
    """One column of the table, made of one or more columns of the frame."""

    name: str
    """Column of the frame."""
    heading: str
    """What stands above, with the unit."""
    decimals: int | None = None
    """None: three significant digits, three decimals at most."""
    scale: float = 1.0
    """Factor from the frame's unit to the heading's."""
    sd: str = ""
    """Column with the sample standard deviation over seeds, set behind a ±; NaN says that there was one seed."""
    ends: tuple[str, str] = ("", "")
    """Columns with a 95 % interval, set in brackets."""
    change: bool = False
    """Whether number and interval have their signs, and a star where the interval excludes 0."""
    counts: bool = False
    """Whether it is a mean of counts, which is whole where there was one seed."""
    words: Mapping[str, str] = field(default_factory=dict)
    """What stands for a value; others stand for themselves."""


def as_table(title: str, frame: pd.DataFrame, columns: Sequence[Column] = (), notes: tuple[str, ...] = ()) -> Table:
    """The table.

    Args:
        columns: by default every column of the frame under its own name.
    """
    columns = columns or [Column(name, str(name)) for name in frame.columns]
    rows = tuple(tuple(_cell(row, column) for column in columns) for row in frame.to_dict("records"))
    left = frozenset(at for at, column in enumerate(columns) if not _numeric(frame[column.name]))
    return Table(title, tuple(column.heading for column in columns), rows, notes, left=left)


def _numeric(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _cell(row: dict[Any, Any], column: Column) -> str:
    value = row[column.name]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return column.words.get(value, value)
    if not isinstance(value, float) and not column.sd:
        return str(value)
    value = value * column.scale
    decimals = _decimals(value) if column.decimals is None else column.decimals
    if column.counts and math.isnan(row[column.sd]) and float(value).is_integer():
        decimals = 0
    if any(column.ends):
        low, high = (row[end] * column.scale for end in column.ends)
        return _change(value, low, high, decimals) if column.change else _interval(value, low, high, decimals)
    text = signed(value, decimals).lstrip("+±") if value else "0"
    if not column.sd:
        return text
    sd = row[column.sd] * column.scale
    return f"{text} ({SINGLE})" if math.isnan(sd) else f"{text} ± {sd:.{decimals}f}" if sd else text


def _interval(value: float, low: float, high: float, decimals: int) -> str:
    ends = "" if math.isnan(low) else f" [{low:.{decimals}f}, {high:.{decimals}f}]"
    return f"{value:.{decimals}f}{ends}".replace("-", "−")


def _change(value: float, low: float, high: float, decimals: int) -> str:
    if math.isnan(low):
        return f"{signed(value, decimals)} [no interval]"
    clearly = f" {CLEARLY}" if low > 0 or high < 0 else ""
    return f"{signed(value, decimals)} [{signed(low, decimals)}, {signed(high, decimals)}]{clearly}"


def _decimals(value: float) -> int:
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    return max(_DIGITS - whole, 0)
