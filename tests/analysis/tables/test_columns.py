"""How numbers of a data frame are set in a table."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from analysis.tables import writers
from analysis.tables.columns import Column, as_table


def cell(column: Column, **row):
    return as_table("a title", pd.DataFrame([row]), [column]).rows[0][0]


@pytest.mark.parametrize(
    ("column", "row", "expected"),
    [
        (Column("a", "a", 1), {"a": 48.74}, "48.7"),
        (Column("a", "a", 1), {"a": 0.0}, "0"),
        (Column("a", "a", 0, 100), {"a": 0.558}, "56"),
        (Column("a", "a"), {"a": 0.12034}, "0.120"),
        (Column("a", "a"), {"a": 3.6341}, "3.63"),
        (Column("a", "a"), {"a": 2098.3}, "2098"),
        (Column("a", "a", 1), {"a": -2.5}, "−2.5"),
        (Column("a", "a"), {"a": 3}, "3"),
        (Column("a", "a"), {"a": math.nan}, "–"),
        (Column("a", "a"), {"a": None}, "–"),
        (Column("a", "a"), {"a": True}, "yes"),
        (Column("a", "a", words={"segm": "masks"}), {"a": "segm"}, "masks"),
        (Column("a", "a", words={"segm": "masks"}), {"a": "other"}, "other"),
        (Column("a", "a", 1, sd="s"), {"a": 13.33, "s": 5.132}, "13.3 ± 5.1"),
        (Column("a", "a", sd="s"), {"a": 0.754, "s": 0.0312}, "0.754 ± 0.031"),
        (Column("a", "a", 1, sd="s"), {"a": 32.0, "s": 0.0}, "32.0"),
        (Column("a", "a", 1, sd="s"), {"a": 13.33, "s": math.nan}, "13.3 (ONE SEED)"),
        (Column("a", "a", 1, sd="s", counts=True), {"a": 7.0, "s": math.nan}, "7 (ONE SEED)"),
        (Column("a", "a", 1, sd="s", counts=True), {"a": 7.0, "s": 1.0}, "7.0 ± 1.0"),
        (Column("a", "a", 1, ends=("l", "h"), change=True), {"a": 2.5, "l": 1.8, "h": 3.4}, "+2.5 [+1.8, +3.4] *"),
        (Column("a", "a", 1, ends=("l", "h"), change=True), {"a": -2.5, "l": -6.0, "h": 1.0}, "−2.5 [−6.0, +1.0]"),
        (Column("a", "a", 1, ends=("l", "h"), change=True), {"a": 2.5, "l": math.nan, "h": math.nan}, "+2.5 [no interval]"),
        (Column("a", "a", 1, ends=("l", "h")), {"a": 2.5, "l": 1.8, "h": 3.4}, "2.5 [1.8, 3.4]"),
        (Column("a", "a", 1, ends=("l", "h")), {"a": 48.74, "l": math.nan, "h": math.nan}, "48.7"),
    ],
)
def test_a_cell(column, row, expected):
    assert cell(column, **row) == expected


def test_columns_of_words_stand_to_the_left_under_their_heading_and_numbers_to_the_right():
    frame = pd.DataFrame({"label": ["x"], "iou_type": ["segm"], "n": [3], "hidden": [1.0]})
    table = as_table("t", frame, [Column("label", "variant"), Column("iou_type", "of"), Column("n", "seeds")])
    assert (table.header, table.left) == (("variant", "of", "seeds"), frozenset({0, 1}))
    source = writers.as_html(table)
    assert '<th scope="col" class="words">of</th><th scope="col">seeds</th>' in source
    assert '<td class="words">segm</td><td>3</td>' in source


def test_without_columns_all_are_shown():
    assert as_table("t", pd.DataFrame({"a b": [1], "c": ["d"]})).header == ("a b", "c")
