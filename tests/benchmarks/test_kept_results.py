"""The kept results of results/reference/cpu, drawn by today's code: their columns stay those that the figures read."""

import csv

import pytest

from benchmarks.__main__ import load
from tests.support.paths import ROOT

KEPT = ROOT / "results" / "reference" / "cpu"


def value(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None


@pytest.mark.parametrize("name", ["inference", "nms", "roofline", "scaling", "evaluation", "peers", "training"])
def test_kept_rows_are_drawn(name):
    with open(KEPT / f"{name}.csv", newline="") as file:
        rows = [{column: value(text) for column, text in row.items() if text != ""} for row in csv.DictReader(file)]
    if name == "peers":
        rows = [{"published_ap": None, **row} for row in rows]
    figure = load(name).draw(rows, "a machine")
    assert all(axes.has_data() for axes in figure.axes if axes.get_visible())
