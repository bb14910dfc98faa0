"""Every notebook runs top to bottom: on made-up results, with its defaults, and as `yolact report` executes it."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from analysis.page.pieces import Html
from analysis.report.build import make_report
from analysis.report.notebooks import FOLDER, NOTEBOOKS, PAPER, parameters
from tests.analysis.report.test_build import Links
from tests.support.results import fake_results


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Made-up results in which the default experiment of every notebook is there, though most of its stages are not."""
    folder = fake_results.write(tmp_path_factory.mktemp("workbench") / "results", seeds=(0, 1))
    record = json.loads((folder / "experiments" / "quickstart-toy.json").read_text())
    for name in ("learned", "error_budget", "stability", "main", "nms"):
        (folder / "experiments" / f"{name}-toy.json").write_text(json.dumps({**record, "experiment": name}))
    return folder


def run(path: Path, given: dict[str, str]) -> list[str]:
    """What the cells of a notebook show, executed in this process with its parameters replaced by `given`."""
    names: dict[str, object] = {}
    shown = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        tree = ast.parse(cell.source)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, path.name, "exec"), names)
        if "parameters" in cell.metadata.get("tags", []):
            names |= given
        if last is not None:
            piece = eval(compile(ast.Expression(last.value), path.name, "eval"), names)
            assert isinstance(piece, Html), cell.source
            shown.append(piece.source)
    return shown


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_runs_with_its_defaults_beside_the_results(name, results, monkeypatch):
    beside = results.parent / "notebooks"
    beside.mkdir(exist_ok=True)
    monkeypatch.chdir(beside)
    shown = run(FOLDER / f"{name}.ipynb", {})
    assert len(shown) > 4
    assert all(shown)


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if name not in ("ablation", "speed")])
def test_what_is_missing_is_a_hole_with_its_reason(name, results, monkeypatch):
    monkeypatch.chdir(results)
    given = {"results": "."} if name == PAPER else {"results": ".", "experiment": "quickstart"}
    holes = re.findall(r'<p class="hole">(.*?)</p>', " ".join(run(FOLDER / f"{name}.ipynb", given)))
    assert holes
    assert all(len(text.split()) > 3 for text in holes)
    if name == PAPER:
        assert "not run; yolact run prototypes --scale toy runs it" in " ".join(holes)


def test_the_paper_page_has_the_papers_values_under_ours_and_links_its_data(results, tmp_path, monkeypatch):
    monkeypatch.chdir(results)
    page = "".join(run(FOLDER / "paper.ipynb", {"results": ".", "output": str(tmp_path)}))
    assert "in the paper" in page
    assert "Pareto front" in page
    links = {address for address in Links(page).found if not address.startswith("#")}
    assert {"tables/main.csv", "figures/main-accuracy_against_latency.csv", "figures/nms-accuracy.png"} <= links
    assert not [address for address in links if not address.startswith(("..", "data:")) and not (tmp_path / address).is_file()]
    assert_figures_have_ids_of_their_own(page)


def test_speed_names_the_protocol_and_who_beats_whom(results, monkeypatch):
    monkeypatch.chdir(results)
    page = "".join(run(FOLDER / "speed.ipynb", {"results": "."}))
    for text in ("Made-up CPU", "inside the clock", "reading images", "end to end", "on the front", "beaten in both by"):
        assert text in page


def assert_figures_have_ids_of_their_own(page: str) -> None:
    ids = re.findall(r'<figure id="([^"]+)"', page)
    assert ids
    assert len(ids) == len(set(ids))


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_report_opens_offline_and_every_link_leads_somewhere(name, results, tmp_path):
    shutil.copytree(results, tmp_path / "results")
    experiment = PAPER if name == PAPER else parameters(NOTEBOOKS[name].path)["experiment"].default
    page = make_report(tmp_path / "results", experiment, "toy", name)
    text = page.read_text(encoding="utf-8")
    found = Links(text)
    assert "script" not in found.tags
    assert "link" not in found.tags
    assert found.undescribed == []
    assert "@import" not in text
    assert "url(http" not in text
    assert str(tmp_path) not in text
    if name in ("ablation", "paper", "speed", "prototypes"):  # of the others' stages nothing is made up
        assert_figures_have_ids_of_their_own(text)
    for address in found.found:
        if not address.startswith(("#", "data:")):
            assert "//" not in address
            assert (page.parent / address).exists() or "/runs/" in address, address


@pytest.mark.slow
def test_reports_on_a_network_that_never_learned_anything(tmp_path):
    """The real stages of `learned`, on a network before its first step."""
    few = [f"{kind}.images=3" for kind in ("responses", "redundancy", "coefficients", "leakage", "prototypes")]
    settings = [part for field in few for part in ("--set", field)]
    command = [sys.executable, "-m", "experiments.cli.main", "run", "learned", "--seeds", "0", "--only", "untrained",
               *settings, "--launcher", "inprocess", "--results", str(tmp_path)]  # fmt: skip
    subprocess.run(command, check=True, cwd=FOLDER.parent, capture_output=True)
    for name in ("prototypes", "partition", "errors"):
        text = make_report(tmp_path, "learned", "toy", name).read_text(encoding="utf-8")
        assert "Traceback (most recent call last)" not in text
