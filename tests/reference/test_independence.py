import ast
from pathlib import Path

import pytest

FILES = [path for path in Path(__file__).parent.glob("*.py") if not path.name.startswith("test_")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_slow_path_imports_nothing_of_the_library(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert not imported & {"yolact", "experiments", "analysis"}
