"""Committed notebooks are thin and carry no output. That they run is tested with the reports."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import papermill
import pytest

from tests.support.paths import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


def code(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_is_valid_and_carries_no_output(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


def test_has_parameters_with_defaults(path):
    on_one = set() if path.stem == "paper" else {"experiment"}
    assert {"scale", "results", "output"} | on_one <= set(papermill.inspect_notebook(path))


def test_has_no_logic_and_imports_analysis_alone(path):
    for source in code(path):
        for node in ast.walk(ast.parse(source)):
            assert not isinstance(node, ast.If | ast.For | ast.While | ast.FunctionDef | ast.ClassDef | ast.Try | ast.Import)
            if isinstance(node, ast.ImportFrom):
                assert node.module is not None
                assert node.module.split(".")[0] == "analysis"
