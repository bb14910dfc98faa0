"""What the paper's tables need beyond one metric: other headlines, AP at every IoU, published rows, rows without masks."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest

from analysis.figures.latency import accuracy_against_latency
from analysis.report.pages.ablation import AblationPage
from analysis.results.experiment import load
from analysis.tables.answer import answer
from analysis.tables.layout import detail_tables, headline_tables
from analysis.tables.tidy import best_variant, summary, tidy
from analysis.tables.writers import FORMATS, render
from tests.support.results import fake_results

PUBLISHED = [{"label": "FCIS", "source": "another paper", "values": {"mask_AP": 29.5, "latency_ms": 151.5}}]


def changed(folder, scale="toy", **fields):
    """The made-up experiment with fields of its record replaced."""
    fake_results.write(folder, scale=scale, seeds=(0, 1))
    path = folder / "experiments" / f"quickstart-{scale}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return load(folder, "quickstart", scale)


@pytest.fixture(scope="module")
def by_iou(tmp_path_factory):
    return changed(tmp_path_factory.mktemp("iou"), headline=["mask_AP95", "mask_APs", "latency_ms"], published=PUBLISHED)


def test_ap_at_each_iou_comes_from_the_curves_where_the_headline_asks(by_iou, experiment):
    numbers = tidy(by_iou)
    assert {f"mask_AP{iou}" for iou in range(50, 100, 5)} <= set(numbers["metric"])
    assert not {f"box_AP{iou}" for iou in (55, 95)} & set(numbers["metric"])
    assert "mask_AP95" not in set(tidy(experiment)["metric"])
    row = numbers.query("metric == 'mask_AP95' and variant == 'baseline' and seed == 0").iloc[0]
    stored = json.loads((by_iou.store.root / "runs" / row["stage"] / "result" / "curves.json").read_text())
    assert row["value"] == pytest.approx(100 * stored["segm"]["ap_per_iou"]["0.95"])


def test_headline_metrics_lead_and_get_intervals_over_images(by_iou):
    table = summary(by_iou)
    titles = [one.title for one in headline_tables(by_iou, table)]
    assert [title.split(":")[0] for title in titles] == ["Mask AP95", "Mask AP small", "Latency"]
    assert not any("latency" in head for detail in detail_tables(by_iou, table) for head in detail.header)
    shared = table[(table["variant"] == "no_crop") & table["metric"].isin(["mask_AP95", "mask_APs", "mask_AP"])]
    assert set(shared["method"]) == {"images"}
    assert "mask AP95" in answer(by_iou, table)
    assert best_variant(by_iou, table).name


@pytest.fixture(scope="module")
def with_published(tmp_path_factory):
    return changed(tmp_path_factory.mktemp("published"), published=PUBLISHED)


@pytest.mark.parametrize("form", FORMATS)
def test_published_rows_are_said_to_be_published(form, with_published):
    found = with_published
    line = next(line for line in render(found, form).splitlines() if "FCIS" in line)
    assert "published" in line
    assert "29.5" in line
    if form == "csv":
        row = pd.read_csv(io.StringIO(render(found, "csv"))).query("label == 'FCIS' and metric == 'mask_AP'").iloc[0]
        assert pd.isna(row["mean"])
        assert row["method"] == "published"
    else:
        assert "another paper" in render(found, form)


def test_published_values_enter_the_figure_at_the_papers_scale_alone(with_published, tmp_path):
    at_paper_scale = changed(tmp_path, scale="paper", published=PUBLISHED)
    for found, shown in ((with_published, False), (at_paper_scale, True)):
        picture = accuracy_against_latency(found, summary(found), "a GPU")
        assert ("published values" in picture.caption) is shown
        assert any(text.get_text() == "FCIS" for text in picture.figure.axes[0].texts) is shown


def test_a_run_without_masks_is_a_hole_with_its_reason_among_masks_and_none_among_boxes(tmp_path):
    found = changed(tmp_path, headline=["box_AP", "latency_ms"])
    for seed in (0, 1):
        for name in ("metrics.json", "curves.json"):
            path = found.path("fc_mask", seed, "coco", name)
            path.write_text(json.dumps({"bbox": json.loads(path.read_text())["bbox"]}))
    numbers = tidy(found).query("variant == 'fc_mask'").set_index("metric")
    assert set(numbers.loc["mask_AP", "reason"]) == {"no masks were made"}
    assert numbers.loc["box_AP", "reason"].isna().all()
    page = AblationPage(found)
    assert "no masks were made" in page.tables().source
    assert "Box AP" in page.accuracy().source
    assert "Nothing to draw" not in page.accuracy_by_size().source


def test_other_rules_of_evaluation_are_not_accumulated_again(tmp_path):
    found = changed(tmp_path)
    for seed in (0, 1):
        path = found.store.stage_folder(found.stage_id("no_crop", seed, "coco")) / "stage.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "fields": {"evaluation": {"rules": "official"}}}))
    table = summary(found)
    assert set(table[(table["variant"] == "no_crop") & (table["metric"] == "mask_AP")]["method"]) == {"seeds"}
