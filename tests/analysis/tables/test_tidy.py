"""Stored results become a tidy table, a summary, and readable tables."""

from __future__ import annotations

import io
import json
import math

import pandas as pd
import pytest

from analysis.results.experiment import load
from analysis.tables.answer import answer
from analysis.tables.layout import detail_tables, headline_tables, interval, signed, spread
from analysis.tables.tidy import best_variant, holes, summary, tidy
from analysis.tables.writers import render
from tests.support.results import fake_results
from yolact.errors import UserError


@pytest.fixture(scope="module")
def table(experiment):
    return summary(experiment)


def cell(table, variant, metric="mask_AP"):
    return table[(table["variant"] == variant) & (table["metric"] == metric)].iloc[0]


def test_tidy_has_a_row_per_variant_seed_and_metric_and_values_in_percent(experiment, results):
    numbers = tidy(experiment)
    assert len(numbers) == 5 * 3 * sum(m.kind in ("coco", "speed") and not m.by_iou for m in experiment.metrics.values())
    row = numbers.query("variant == 'baseline' and seed == 1 and metric == 'mask_AP'").iloc[0]
    stored = json.loads((results / "runs" / row["stage"] / "result" / "metrics.json").read_text())
    assert row["value"] == pytest.approx(100 * stored["segm"]["AP"])
    assert row["state"] == "done"


def test_a_failed_run_is_a_hole_with_its_reason(experiment, table):
    row = tidy(experiment).query("variant == 'k1' and seed == 2 and metric == 'mask_AP'").iloc[0]
    assert math.isnan(row["value"])
    assert row["reason"].startswith("train failed: TrainingError: the loss was not finite")
    assert (cell(table, "k1")["n"], cell(table, "k1")["planned"]) == (2, 3)
    assert set(holes(experiment)["kind"]) == {"train", "predict", "coco", "speed", "prototypes"}
    assert any(
        "Missing, k = 1: seed 2: train failed" in note for one in headline_tables(experiment, table) for note in one.notes
    )


def test_shared_training_is_compared_over_images_and_retraining_over_seeds(table):
    assert cell(table, "standard_nms")["method"] == "images"
    assert cell(table, "fc_mask")["method"] == "seeds"
    assert cell(table, "standard_nms", "fps")["method"] == "seeds"
    assert cell(table, "fc_mask")["clearly"]
    assert math.isnan(cell(table, "baseline")["change"])


def test_the_change_is_paired_over_the_seeds_that_both_have(experiment, table):
    numbers = tidy(experiment).query("metric == 'mask_AP' and seed < 2").groupby("variant")["value"].mean()
    assert cell(table, "k1")["change"] == pytest.approx(numbers["k1"] - numbers["baseline"])


def test_the_papers_change_stands_beside_and_ours_minus_paper_only_at_its_scale(table, at_paper_scale, experiment):
    assert cell(table, "fc_mask")["paper_change"] == pytest.approx(20.7 - 29.9)
    assert table["minus_paper"].isna().all()
    paper = summary(at_paper_scale)
    assert cell(paper, "fc_mask")["minus_paper"] == pytest.approx(cell(paper, "fc_mask")["mean"] - 20.7)
    assert "ours − paper" in headline_tables(at_paper_scale, paper)[0].header
    assert "ours − paper" not in headline_tables(experiment, table)[0].header


def test_a_single_seed_is_loud_and_decides_nothing_about_retraining(single_seed):
    found = summary(single_seed)
    assert cell(found, "fc_mask")["method"] == "images of one seed"
    assert not cell(found, "fc_mask")["clearly"]
    assert "ONE SEED" in spread(cell(found, "baseline"), single_seed.metrics["mask_AP"])
    assert "fc-mask" in answer(single_seed, found).split("undecided on one seed")[0].split("; ")[-1]
    assert any(note.startswith("ONE SEED") for note in headline_tables(single_seed, found)[-1].notes)


def test_the_answer_says_clearly_only_where_it_is(experiment, table):
    sentence = answer(experiment, table)
    assert "are clearly worse" in sentence
    assert "clearly better" in sentence
    assert sentence.count(". ") == 0


def test_without_the_reference_there_is_no_answer_and_no_change(tmp_path):
    folder = fake_results.write(tmp_path, seeds=(0,), failed=("baseline", 0))
    found = load(folder, "quickstart", "toy")
    assert answer(found, summary(found)).startswith("No answer yet: the reference, YOLACT, has no mask AP")
    assert "missing" in {one for row in headline_tables(found, summary(found))[0].rows for one in row}


def test_stand_ins_are_named(experiment, table):
    assert any("resnet101 → resnet_tiny" in note for note in headline_tables(experiment, table)[-1].notes)


def test_best_variant_has_the_highest_mean(experiment, table):
    assert best_variant(experiment, table).name == "standard_nms"


def test_csv_reads_back_as_the_summary(experiment, table):
    read = pd.read_csv(io.StringIO(render(experiment, "csv")), keep_default_na=False, na_values=[""])
    pd.testing.assert_frame_equal(read.fillna({"holes": ""}), table, check_dtype=False)


def test_markdown_has_as_many_cells_in_every_row(experiment, table):
    lines = [line for line in render(experiment, "markdown").splitlines() if line.startswith("|")]
    widths = [line.count("|") for line in lines]
    expected = [len(one.header) + 1 for one in (*headline_tables(experiment, table), *detail_tables(experiment, table))]
    assert sorted(set(widths)) == sorted(set(expected))


def test_latex_escapes_and_uses_booktabs(experiment):
    text = render(experiment, "latex")
    assert r"resnet\_tiny" in text
    assert r"\toprule" in text
    assert not set("±−–→×") & set(text)


@pytest.mark.parametrize(("number", "text"), [(1.26, "+1.3"), (-0.5, "−0.5"), (0.04, "±0.0"), (-0.04, "±0.0"), (math.nan, "–")])
def test_signed(number, text):
    assert signed(number) == text


def test_a_change_without_an_interval_says_so():
    assert interval(pd.Series({"change": 1.0, "low": math.nan, "high": math.nan, "clearly": False})) == "+1.0 [no interval]"


def test_a_variant_that_is_not_there_is_named_with_those_that_are(tmp_path):
    found = load(fake_results.write(tmp_path), "quickstart", "toy")
    with pytest.raises(UserError, match="quickstart has no variant 'fcmask'; it has: baseline, fc_mask"):
        found.variant("fcmask")
