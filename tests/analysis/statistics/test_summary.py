"""Means and spreads by group, against pandas."""

import math

import pandas as pd
import pytest

from analysis.statistics.summary import summary_over

FRAME = pd.DataFrame({"variant": ["b", "b", "a", "a"], "seed": [0, 1, 0, 1], "x": [1.0, 2, 5, math.nan], "y": [math.nan] * 4})


def test_groups_and_columns_keep_their_order_and_empty_values_are_left_out():
    found = summary_over(FRAME, ["variant"], ("x", "y"))
    assert found[["variant", "name", "n"]].values.tolist() == [["b", "x", 2], ["b", "y", 0], ["a", "x", 1], ["a", "y", 0]]
    assert found["mean"].tolist() == pytest.approx([1.5, math.nan, 5, math.nan], nan_ok=True)
    assert found["sd"].tolist() == pytest.approx([math.sqrt(0.5), math.nan, math.nan, math.nan], nan_ok=True)
