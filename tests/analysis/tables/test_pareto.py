"""The Pareto front of accuracy against latency."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.tables.pareto import dominator, front

NUMBERS = st.integers(0, 6).map(float)  # few values, so that ties happen
POINTS = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.tuples(NUMBERS, NUMBERS), max_size=8)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ({}, ()),
        ({"a": (1.0, 1.0)}, ("a",)),
        ({"slow": (2.0, 2.0), "fast": (1.0, 1.0)}, ("fast", "slow")),
        ({"a": (1.0, 2.0), "worse": (2.0, 2.0), "lower": (1.0, 1.0)}, ("a",)),
        ({"a": (1.0, 2.0), "b": (1.0, 2.0)}, ("a", "b")),
    ],
    ids=["none", "one", "a trade", "a tie in one, worse in the other", "equal points"],
)
def test_by_hand(points, expected):
    assert front(points) == expected


@given(POINTS)
def test_the_front_is_what_nobody_beats_and_beats_all_else(points):
    best = front(points)
    assert bool(best) == bool(points)
    heights = [points[name][1] for name in best]
    assert heights == sorted(heights)
    for name, (latency, accuracy) in points.items():
        beaten = any(
            time <= latency and height >= accuracy and (time < latency or height > accuracy) for time, height in points.values()
        )
        assert (name not in best) == beaten
        if beaten:
            assert dominator(points, name) in best


@given(POINTS, st.floats(0.1, 10), st.floats(0.1, 10))
def test_units_don_t_matter(points, time, accuracy):
    assert set(front({name: (time * x, accuracy * y) for name, (x, y) in points.items()})) == set(front(points))
