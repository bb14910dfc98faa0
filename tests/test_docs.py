"""The code blocks of the documentation run, in order, in one namespace, and the files that documentation names exist."""

import ast
import re
from pathlib import Path

import pytest
import torch

from tests.support.paths import ROOT
from yolact.measures import NAMES, declarations

LIBRARY = ROOT / "docs" / "library.md"
ROOMS = "yolact experiments analysis benchmarks tests"
NAMED = re.compile(
    rf"(?<![\w./<-])((?:{ROOMS.replace(' ', '|')}|docs|notebooks|results/reference)/"
    r"(?:[\w-]+/)*(?:[\w-]+\.[a-z]{1,5}\b|(?=[`) ])))"
)
"""Files of the project in prose, and folders that end in a slash."""


def blocks(path):
    """The Python blocks of a page, each behind as many empty lines as stand before it, so that errors name the right line."""
    text = path.read_text(encoding="utf-8")
    for found in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        yield "\n" * (text[: found.start(1)].count("\n")) + found[1]


def test_the_library_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    namespace = {"__name__": "library"}
    code = list(blocks(LIBRARY))
    assert len(code) > 10
    for block in code:
        exec(compile(block, str(LIBRARY), "exec"), namespace)


def test_the_page_shows_every_public_name():
    import yolact

    shown = "\n".join(blocks(LIBRARY))
    not_called = {"Detections", "Kept", "Matches", "fast_nms"}
    missing = [name for name in yolact.__all__ if not re.search(rf"\b{name}\b", shown)]
    assert set(missing) <= not_called


def rows(page, heading):
    """The rows of the first table below a heading, cells without spaces around them."""
    table = re.search(r"\|---.*\n((?:\|.*\n)*)", page[page.index(heading) :])
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


def test_the_page_of_measures_lists_exactly_what_is_declared():
    page = (ROOT / "docs" / "measures.md").read_text(encoding="utf-8")
    assert [row[0].strip("`") for row in rows(page, "# What can be measured")] == list(NAMES)
    listed = {kind.strip("`"): re.findall(r"`(\w+)`", names) for kind, names in rows(page, "## Scalars are metrics")}
    assert listed == {one.name: [scalar.name for scalar in one.scalars] for one in declarations() if one.scalars}


def test_public_names_are_never_modules():
    """Importing a submodule of the same name would replace the name."""
    import yolact

    folder = Path(yolact.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} | {path.name for path in folder.iterdir() if path.is_dir()}
    assert not modules & set(yolact.__all__)
    assert all(getattr(yolact, name) is getattr(yolact, name) for name in yolact.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = yolact.no_such_name


def docstrings(path):
    """Strings that are statements: docstrings of modules, classes, functions and attributes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def prose():
    """(file, its text for readers, without the names of files that a page itself gives in full)."""
    for page in (ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")):
        text = page.read_text(encoding="utf-8")
        for given in re.findall(r'^```\w+ title="(.*)"$', text, re.MULTILINE):
            text = text.replace(given, "")
        yield page, text
    for room in ROOMS.split():
        for source in (ROOT / room).rglob("*.py"):
            yield source, "\n".join(docstrings(source))


def test_files_that_are_named_exist():
    named = [(str(path.relative_to(ROOT)), name) for path, text in prose() for name in NAMED.findall(text)]
    assert len(named) > 100
    assert [each for each in named if not (ROOT / each[1]).exists()] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see `yolact/models/build.py` and docs/library.md.", ["yolact/models/build.py", "docs/library.md"]),
        ("(`yolact/branches/`)", ["yolact/branches/"]),
        ("reference `layers/box_utils.py`; analysis/pages/<name>.py; ~/.cache/yolact/engines", []),
    ],
)
def test_names_of_files_are_recognised(text, found):
    assert NAMED.findall(text) == found
