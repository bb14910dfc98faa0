"""The report: executed, offline, put in place whole, and honest about a failing cell."""

from __future__ import annotations

import shutil
import subprocess
import sys
from html.parser import HTMLParser

import nbformat
import pytest
from click.testing import CliRunner

from analysis.report import notebooks as notebooks_module
from analysis.report.build import ReportError, make_report
from analysis.report.execution import execute
from experiments.cli.ask.report import report, table
from experiments.store.folder import StoreError
from tests.support.results import fake_results


class Links(HTMLParser):
    """Every address that a page mentions, and images without a description."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.undescribed: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        own = dict(attributes)
        self.tags.append(tag)
        self.found += [value or "" for name, value in attributes if name in ("src", "href", "xlink:href", "srcset", "data")]
        if (tag == "img" and not own.get("alt")) or (tag == "svg" and not own.get("aria-label")):
            self.undescribed.append(tag)


@pytest.fixture(scope="module")
def made(results):
    """The report of the made-up experiment: its folder."""
    return make_report(results, "quickstart", "toy").parent


@pytest.fixture(scope="module")
def page(made):
    return (made / "index.html").read_text(encoding="utf-8")


def test_the_folder_holds_page_notebook_tables_and_figures_with_data(made):
    assert {path.name for path in made.iterdir()} == {"index.html", "report.ipynb", "figures", "table.csv", "table.md"}
    assert {path.suffix for path in (made / "figures").iterdir()} == {".png", ".svg", ".csv"}
    assert {path.name for path in made.parent.iterdir()} <= {made.name, "index.html"}


def test_no_link_leaves_the_results_and_every_link_leads_somewhere(made, page):
    for address in Links(page).found:
        if address.startswith(("#", "data:")):
            continue
        assert "//" not in address
        target = made / address
        assert target.exists() or not any(made.parents[1].glob(f"runs/{target.name}")), address
    assert "@import" not in page
    assert "url(http" not in page


def test_the_page_needs_no_script_and_describes_its_images(page):
    links = Links(page)
    assert "script" not in links.tags
    assert "link" not in links.tags
    assert links.undescribed == []
    assert links.tags.count("svg") == 7


@pytest.mark.parametrize(
    "text",
    ["Do many prototypes, the crop and Fast NMS pay", "are clearly worse", "±", "paper's change", "resnet_tiny",
     "the loss was not finite", 'href="../../runs/coco-', "Made-up CPU", "torch 2.14.0", "1e0120f5c3", "2026-11-20 08:00:00"],
)  # fmt: skip
def test_the_page_holds(page, text):
    assert text in page


def test_the_report_holds_no_path_of_this_machine_outside_papermills_log(made, page):
    assert str(made.parents[1]) not in page


def test_a_failing_cell_is_named_and_leaves_the_partial_report_beside_the_old_one(results, made, tmp_path, monkeypatch):
    notebook = nbformat.read(notebooks_module.FOLDER / "ablation.ipynb", as_version=4)
    place = next(i for i, cell in enumerate(notebook.cells) if cell.source == "page.tables()")
    notebook.cells[place].source = "raise ValueError('planted')"
    nbformat.write(notebook, tmp_path / "ablation.ipynb")
    monkeypatch.setattr(notebooks_module, "FOLDER", tmp_path)
    before = (made / "index.html").read_bytes()
    with pytest.raises(ReportError, match=r"section 'Table'\) failed: ValueError: planted"):
        make_report(results, "quickstart", "toy")
    partial = made.with_name("quickstart-toy.failed")
    text = (partial / "index.html").read_text(encoding="utf-8")
    assert "This report is incomplete" in text
    assert "are clearly worse" in text
    assert (made / "index.html").read_bytes() == before
    shutil.rmtree(partial)


def test_an_endless_cell_ends_at_the_time_limit_of_the_whole(tmp_path):
    cells = [nbformat.v4.new_code_cell(source) for source in ("import time\ntime.sleep(0.5)", "time.sleep(60)")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=KERNEL), tmp_path / "slow.ipynb")
    failure = execute(tmp_path / "slow.ipynb", tmp_path / "out.ipynb", {}, minutes=0.1)
    assert failure is not None
    assert failure.cell == 2
    assert "time limit of 0.1 minute(s)" in failure.error
    assert (tmp_path / "out.ipynb").is_file()


KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def test_the_kernel_is_this_interpreter_and_nothing_is_written_elsewhere(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "none"))
    cells = [nbformat.v4.new_code_cell("import sys, analysis\nsys.executable")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=KERNEL), tmp_path / "who.ipynb")
    assert execute(tmp_path / "who.ipynb", tmp_path / "out.ipynb", {}, minutes=5) is None
    answered = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[0].outputs[0].data["text/plain"]
    assert answered == repr(sys.executable)
    assert list(home.rglob("*")) == []


def test_an_experiment_that_was_not_run_is_refused(results):
    with pytest.raises(StoreError, match=r"no experiment 'nms-toy' .* there are: quickstart-toy"):
        make_report(results, "nms", "toy")


def test_a_results_folder_that_cannot_be_written_ends_in_one_message(tmp_path):
    fake_results.write(tmp_path, seeds=(0,))
    (tmp_path / "reports").write_text("a file where the folder should be")  # stops root too, unlike permissions
    with pytest.raises(ReportError, match=r"reports.*: cannot write the report: "):
        make_report(tmp_path, "quickstart", "toy")


@pytest.mark.parametrize(
    ("form", "sign"),
    [("text", "YOLACT (reference)"), ("md", "| YOLACT (reference) |"), ("csv", "variant,label,metric"), ("latex", "booktabs")],
)
def test_yolact_table(results, form, sign):
    answer = CliRunner().invoke(table, ["quickstart", "--results", str(results), "--format", form])
    assert answer.exit_code == 0
    assert sign in answer.output


@pytest.mark.parametrize("command", [table, report])
def test_help_shows_an_example(command):
    assert "Examples:\n    yolact" in CliRunner().invoke(command, ["--help"]).output


def test_analysis_needs_no_torch(results):
    code = (
        "import sys; from analysis.report.pages.ablation import AblationPage; "
        f"AblationPage.open({str(results)!r}, 'quickstart', 'toy').tables(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=notebooks_module.ROOT)
