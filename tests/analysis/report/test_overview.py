"""The page that all reports hang on."""

from __future__ import annotations

import json
import shutil

import pytest

from analysis.report import overview
from analysis.report.overview import write_overview
from analysis.results.experiment import load
from analysis.tables.tidy import summary
from analysis.tables.writers import summary_csv
from tests.analysis.report.test_build import Links
from tests.support.results import fake_results

TITLES = {"quickstart": "Quickstart", "nms": "Fast <NMS>"}


@pytest.fixture
def folder(results, experiment, tmp_path):
    """The made-up results with a report's page and table in place, though not its figures."""
    shutil.copytree(results / "runs", tmp_path / "runs")
    shutil.copytree(results / "experiments", tmp_path / "experiments")
    report = tmp_path / "reports" / "quickstart-toy"
    report.mkdir(parents=True)
    (report / "index.html").write_text("a report")
    (report / "table.csv").write_text(summary_csv(experiment, summary(experiment)))
    return tmp_path


def test_reports_are_linked_answered_and_their_holes_shown(folder):
    page = write_overview(folder, TITLES)
    assert page == folder / "reports" / "index.html"
    text = page.read_text(encoding="utf-8")
    links = [address for address in Links(text).found if not address.startswith("#")]
    assert links == ["quickstart-toy/index.html"]
    assert "clearly worse" in text
    assert "stages are missing" in text
    assert "not run: yolact run nms --scale toy" in text
    assert "Fast &lt;NMS&gt;" in text


def test_a_run_without_a_report_says_how_to_make_it(folder):
    shutil.rmtree(folder / "reports")
    text = write_overview(folder, TITLES).read_text(encoding="utf-8")
    assert "no report: yolact report quickstart --scale toy" in text
    assert not [address for address in Links(text).found if not address.startswith("#")]


def test_nothing_run(tmp_path):
    assert "Nothing was run yet" in write_overview(tmp_path, TITLES).read_text(encoding="utf-8")


def test_published_rows_of_the_table_are_no_answer(tmp_path):
    published = [{"label": "FCIS", "source": "", "values": {"mask_AP": 29.5}}]
    fake_results.write(tmp_path, seeds=(0, 1))
    record = tmp_path / "experiments" / "quickstart-toy.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "published": published}))
    experiment = load(tmp_path, "quickstart", "toy")
    (tmp_path / "table.csv").write_text(summary_csv(experiment, summary(experiment)))
    assert overview._answer(experiment, tmp_path / "table.csv").startswith("On shapes (test)")
    assert "FCIS" not in overview._answer(experiment, tmp_path / "table.csv")
