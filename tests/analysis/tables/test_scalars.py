"""A measure's scalar is a metric like AP: headline, table with seeds and intervals, answer, figure."""

import json
import math
import statistics

import pytest

from analysis import figures
from analysis.figures.latency import accuracy_metric
from analysis.results.experiment import MissingResult
from analysis.statistics.intervals import t_quantile
from analysis.tables.answer import answer
from analysis.tables.layout import detail_tables, headline_tables
from analysis.tables.tidy import best_variant, summary, tidy
from analysis.tables.writers import render
from tests.support.results.stored import store

JITTER = {("still", 0): 1.0, ("still", 1): 1.2, ("still", 2): 1.1, ("shaky", 0): 2.0, ("shaky", 1): 2.3, ("shaky", 2): 2.1}


def stability(jitter):
    means = {"box_jitter": {"mean": jitter, "n": 9}, "iou": {"mean": 0.9, "n": 9}, "flicker": {"mean": None, "n": 0}}
    return lambda folder: (folder / "summary.json").write_text(json.dumps({"means": means}))


@pytest.fixture
def experiment(tmp_path):
    runs = {run: {"stability": stability(jitter)} for run, jitter in JITTER.items()}
    runs["shaky", 3] = {"stability": None}
    made = store(tmp_path, {"still": {}, "shaky": {"training.lr": 1}}, runs)
    made.headline = ("box_jitter",)
    return made


def test_it_has_a_headline_table_with_spread_and_interval_over_seeds(experiment):
    table = summary(experiment)
    row = table[(table["variant"] == "shaky") & (table["metric"] == "box_jitter")].iloc[0]
    differences = [JITTER["shaky", seed] - JITTER["still", seed] for seed in range(3)]
    half = t_quantile(2) * statistics.stdev(differences) / math.sqrt(3)
    assert row["mean"] == pytest.approx(statistics.mean([2.0, 2.3, 2.1])) and (row["n"], row["planned"]) == (3, 4)
    assert (row["low"], row["high"]) == pytest.approx((1.0333333 - half, 1.0333333 + half), abs=1e-6) and row["clearly"]
    (headline,) = headline_tables(experiment, table)
    assert headline.header[1] == "ours (px of the input)" and headline.rows[1][1] == "2.13 ± 0.15 (n = 3 of 4)"
    assert "Box jitter: Made up" in render(experiment, "text")
    assert "box_jitter" in render(experiment, "csv")


def test_other_scalars_have_a_table_per_measure(experiment):
    (detail,) = detail_tables(experiment, summary(experiment))
    assert detail.title.startswith("Every other scalar of stability")
    cells = dict(zip(detail.header, detail.rows[0], strict=True))
    assert cells["mask IoU of successive frames (0..1)"] == "0.900 ± 0.000 (n = 3)"
    assert cells["flicker (% of pairs of frames)"] == "missing"


def test_less_is_better_where_the_measure_says_so(experiment):
    table = summary(experiment)
    said = answer(experiment, table)
    assert "shaky (+1.03 px of the input, 95 % interval +0.89 to +1.18) is clearly worse" in said
    assert best_variant(experiment, table).name == "still"


def test_its_figure_has_its_unit_and_none_claims_that_it_is_an_accuracy(experiment):
    table = summary(experiment)
    picture = figures.accuracy(experiment, table, tidy(experiment))
    assert "in px of the input" in picture.alt and "2.13" in picture.alt
    left, right = picture.figure.axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("box jitter (px of the input)", "change of box jitter (px of the input)")
    with pytest.raises(MissingResult, match="no headline metric is an accuracy"):
        accuracy_metric(experiment)
