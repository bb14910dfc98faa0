"""The arrows between rooms, as the table in docs/architecture.md draws them."""

import ast
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

OURS = {"yolact", "experiments", "analysis", "notebooks", "tests"}

# room -> what it may import of ours, itself apart; the first room that a file lies in counts
ROOMS = {
    "yolact/config": {"yolact.config", "yolact.errors"},
    "yolact": {"yolact"},
    "experiments/cli": {"experiments", "yolact", "analysis"},
    "experiments": {"experiments", "yolact"},
    "analysis": {"analysis", "experiments.store.folder", "yolact.errors"},
}
TORCH_FREE = [
    "yolact",
    "yolact.config",
    "yolact.errors",
    "yolact.runtime.files",
    "experiments.spec.config",
    "experiments.spec.schema",
    "experiments.spec.resolve",
    "experiments.stages.kinds",
    "experiments.plan.build",
    "experiments.store.folder",
    "experiments.store.lease",
    "experiments.cli.main",
]
ROOF = "experiments.cli"


def room_of(path):
    relative = path.relative_to(ROOT).as_posix()
    return next(room for room in ROOMS if relative.startswith(f"{room}/"))


def imports(path):
    """Every module of ours that a file imports, also inside functions, as dotted names."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in OURS)


def within(name, allowed):
    return any(name == room or name.startswith(f"{room}.") for room in allowed)


FILES = sorted(path for top in ("yolact", "experiments", "analysis") for path in (ROOT / top).rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_imports_only_what_its_room_may(path):
    room = room_of(path)
    wrong = [name for name in imports(path) if not within(name, ROOMS[room])]
    assert not wrong, f"{room}/ may import {sorted(ROOMS[room])}, not {wrong}"
    if room != "experiments/cli":
        assert not [name for name in imports(path) if within(name, {ROOF})], "nothing below imports the command line"


def test_the_test_sees_imports_in_every_form(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    file = tmp_path / "analysis" / "sub" / "x.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "import os, yolact.models.base\nfrom . import a\nfrom ..b import c\ndef f():\n    from experiments import plan\n"
    )
    assert set(imports(file)) == {"yolact.models.base", "analysis.sub.a", "analysis.b.c", "experiments.plan.build"}
    assert not within("experiments.plan.build", ROOMS["analysis"])


def test_what_must_answer_at_once_imports_no_torch():
    """One fresh interpreter for all: torch must not come in by any of them."""
    code = "\n".join(
        ["import sys, importlib"]
        + [f"importlib.import_module({name!r}); assert 'torch' not in sys.modules, {name!r}" for name in TORCH_FREE]
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


def test_help_imports_no_torch():
    code = (
        "import sys\nfrom experiments.cli.main import main\n"
        "sys.argv = ['yolact', '--help']\ntry: main()\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


def test_source_files_stay_readable():
    """STYLE.md: well under 300 lines, one idea each."""
    long = {str(path.relative_to(ROOT)): n for path in FILES if (n := len(path.read_text().splitlines())) > 300}
    assert not long
