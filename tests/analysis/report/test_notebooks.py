"""The table of notebooks and their parameters: refused before anything runs, and given as `yolact report` takes them."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from analysis.report import build as report_module
from analysis.report.build import ReportError, make_report
from analysis.report.notebooks import FOLDER, NOTEBOOKS, ParameterError, checked, parameters
from experiments.cli.ask.report import report

DECLARED = """
images = 3  # images to show
score = 0.5  # least score
variant = ""  # which; "" takes the best
crop = True  # cropped or not
"""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    path = tmp_path_factory.mktemp("notebook") / "some.ipynb"
    cell = nbformat.v4.new_code_cell(DECLARED.strip(), metadata={"tags": ["parameters"]})
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), path)
    return path


def test_the_table_names_every_notebook_and_no_other():
    assert set(NOTEBOOKS) == {path.stem for path in FOLDER.glob("*.ipynb")}


@pytest.mark.parametrize(
    ("name", "folder"),
    [("ablation", "nms-toy"), ("speed", "nms-toy-speed"), ("paper", "paper-toy")],
)
def test_each_report_has_a_folder_of_its_own(name, folder):
    assert NOTEBOOKS[name].folder_name("nms", "toy") == folder


def test_parameters_have_defaults_of_their_type_and_help(notebook):
    found = parameters(notebook)
    assert {name: parameter.default for name, parameter in found.items()} == {
        "images": 3, "score": 0.5, "variant": "", "crop": True}  # fmt: skip
    assert found["score"].help == "least score"


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"images": "7"}, 7),
        ({"images": 7}, 7),
        ({"score": "1"}, 1.0),
        ({"score": 1}, 1.0),
        ({"variant": "7"}, "7"),
        ({"crop": "False"}, False),
    ],
)
def test_values_take_the_type_of_the_default(notebook, given, value):
    (found,) = checked(notebook, given).values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"imags": 1}, r"some.ipynb has no parameter 'imags'; did you mean 'images'\? It has: images, score, variant, crop"),
        ({"zzz": 1}, r"no parameter 'zzz'\. It has: images"),
        ({"images": "2.5"}, r"images \(images to show\) takes a whole number, not '2.5'"),
        ({"images": True}, "takes a whole number, not True"),
        ({"score": "half"}, "takes a number, not 'half'"),
        ({"crop": "no"}, "takes true or false, not 'no'"),
        ({"variant": 7}, "takes text, not 7"),
    ],
)
def test_a_wrong_parameter_is_refused(notebook, given, message):
    with pytest.raises(ParameterError, match=message):
        checked(notebook, given)


def test_a_notebook_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ParameterError, match=r"none.ipynb: no such notebook"):
        parameters(tmp_path / "none.ipynb")


@pytest.mark.parametrize("name", ["results", "scale", "output", "experiment"])
def test_what_the_command_sets_is_no_parameter(results, name):
    with pytest.raises(ParameterError, match=f"{name} is not set by -p"):
        make_report(results, "quickstart", "toy", parameters={name: "x"})


def test_the_paper_needs_something_run_at_the_scale(results):
    with pytest.raises(ReportError, match="nothing was run at scale 'small'"):
        make_report(results, "paper", "small", "paper")


@pytest.fixture
def asked(monkeypatch):
    """What `yolact report` asks for: (experiment, notebook, parameters, minutes) each time."""
    calls = []

    def fake(results, experiment, scale, notebook, parameters, minutes, progress):
        calls.append((experiment, notebook, parameters, minutes))
        return Path(f"here/{experiment}/index.html")

    monkeypatch.setattr(report_module, "make_report", fake)
    return calls


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["quickstart"], [("quickstart", "ablation", {}, 20)]),
        (["quickstart", "--notebook", "speed", "-p", "images=3", "--time-limit", "0.5"],
         [("quickstart", "speed", {"images": "3"}, 0.5)]),
        (["paper"], [("paper", "paper", {}, 20)]),
        (["--all"], [("quickstart", "ablation", {}, 20), ("paper", "paper", {}, 20)]),
        (["--all", "--notebook", "speed"], [("quickstart", "speed", {}, 20)]),
        (["--all", "--notebook", "stability"], []),
    ],
)  # fmt: skip
def test_yolact_report_asks_for(results, asked, arguments, expected):
    answer = CliRunner().invoke(report, [*arguments, "--results", str(results)])
    assert answer.exit_code == 0, answer.output
    assert asked == expected
    assert all(f"here/{experiment}/index.html" in answer.output for experiment, *_ in expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "name an experiment"), (["nms", "--all"], "name an experiment"), (["nms", "-p", "images"], "is not NAME=VALUE"),
     (["nms", "--notebook", "sped"], "is not one of"), (["nms", "--time-limit", "0"], "not in the range")],
)  # fmt: skip
def test_yolact_report_refuses(results, asked, arguments, message):
    answer = CliRunner().invoke(report, [*arguments, "--results", str(results)])
    assert answer.exit_code == 2
    assert message in answer.output
    assert asked == []
