"""The code blocks of the documentation run, in order, in one namespace."""

import re
from pathlib import Path

import pytest
import torch

from tests.support.paths import ROOT
from yolact.measures import NAMES, declarations

LIBRARY = ROOT / "docs" / "library.md"


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
    not_called = {"Detections", "Kept", "Matches", "Normalizer", "RawOutputs", "fast_nms"}
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
