"""Walls between packages, as docs/architecture.md draws them: floors, circles, sizes, and what imports no torch."""

import ast
import graphlib
import itertools
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

TOPS = ("yolact", "experiments", "analysis", "benchmarks")
MAY_IMPORT = {
    "yolact": ("yolact",),
    "experiments/cli": ("experiments", "yolact", "analysis"),
    "experiments": ("experiments", "yolact"),
    "analysis": ("analysis", "experiments.store", "yolact.errors", "yolact.config", "yolact.measures"),
    "benchmarks": ("benchmarks", "analysis", "experiments", "yolact"),
}
"""What the files of a package may import of ours. The first package that a file lies in counts."""
FLOORS = {
    "yolact": (
        "errors structures",
        "runtime",
        "config",
        "ops",
        "data",
        "models",
        "training inference evaluation",
        "measures",
        "interventions",
    ),
    "experiments": ("graph", "spec store", "datasets", "stages", "plan run", "launch", "cli"),
}
"""Entries of a package, the lowest first. Imports go down, or sideways without a circle; never up."""
MOST_ENTRIES = 12
TO_UNTIE: set[str] = set()
"""Exceptions to be mended: an import that goes up or closes a circle, or a package with too many entries. Only shrinks."""
TORCH_FREE = ("yolact/config", "experiments/spec", "experiments/store", "experiments/plan")
"""Packages of which no module may import torch."""
ANSWERS_AT_ONCE = (
    *("yolact", "yolact.errors", "yolact.runtime.files", "yolact.measures"),
    *("experiments.stages.table", "experiments.cli.main"),
)
FILES = sorted(path for top in TOPS for path in (ROOT / top).rglob("*.py"))


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def imports(path):
    """Every module of ours that a file imports, also inside functions, as dotted names."""
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in (*TOPS, "notebooks", "tests"))


def file_of(name):
    """The file that a dotted name leads to, or None."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:end])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def arrows(files):
    """(importing file, imported file), as paths relative to the root."""
    pairs = ((path, file_of(name)) for path in files for name in imports(path))
    return sorted({(name_of(path), name_of(other)) for path, other in pairs if other is not None and other != path})


ARROWS = arrows(FILES)
PACKAGES = sorted({path.parent for path in FILES})


def within(name, allowed):
    return any(name == package or name.startswith(f"{package}.") for package in allowed)


def circle(package, found):
    """The first circle among the entries of a package, with the arrows that close it; None if there is none.

    Files and sub-packages count alike, so that all packages together cover every circle of files.
    """
    prefix = f"{package}/"
    inside = [pair for pair in found if all(name.startswith(prefix) for name in pair)]
    graph: dict[str, dict[str, str]] = {}
    for pair in inside:
        one, other = (name.removeprefix(prefix).partition("/")[0] for name in pair)
        if one != other:
            graph.setdefault(one, {})[other] = " -> ".join(pair)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        nodes = error.args[1]
        return [graph[later][earlier] for earlier, later in itertools.pairwise(nodes)]
    return None


def goes_up(pair):
    """Whether an import within one of FLOORS leads to a higher floor, or to what has no floor."""
    one, other = (name.removesuffix(".py").split("/") for name in pair)
    if one[0] != other[0] or one[0] not in FLOORS or one[1] == other[1]:
        return False
    heights = {entry: height for height, entries in enumerate(FLOORS[one[0]]) for entry in entries.split()}
    return heights.get(other[1], len(heights)) > heights.get(one[1], -1)


def entries(folder):
    """Modules and sub-folders of a package."""
    return [
        path.name
        for path in sorted(folder.iterdir())
        if (path.suffix == ".py" and path.name != "__init__.py")
        or (path.is_dir() and any(inner.is_file() and "__pycache__" not in inner.parts for inner in path.rglob("*")))
    ]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_imports_only_what_its_package_may(path):
    package = next(package for package in MAY_IMPORT if name_of(path).startswith(f"{package}/"))
    wrong = [name for name in imports(path) if not within(name, MAY_IMPORT[package])]
    assert not wrong, f"{package}/ may import {MAY_IMPORT[package]}, not {wrong}"


def test_what_runs_no_network_imports_only_declarations_of_measures():
    """The packages of `yolact/measures/` declare measures; the modules inside them run networks."""
    declared = ("yolact/measures/declaration.py", "/__init__.py")
    outside = [
        pair for pair in ARROWS if pair[0].startswith(("analysis/", *TORCH_FREE)) and pair[1].startswith("yolact/measures/")
    ]
    assert not [pair for pair in outside if not pair[1].endswith(declared)]


def test_imports_go_down():
    up = [" -> ".join(pair) for pair in ARROWS if goes_up(pair)]
    assert not sorted(set(up) - TO_UNTIE), "imports that go up"


def test_every_entry_has_a_floor():
    for top, floors in FLOORS.items():
        code = {name_of(path).split("/")[1].removesuffix(".py") for path in FILES if name_of(path).startswith(f"{top}/")}
        assert code - {"__init__"} == {entry for floor in floors for entry in floor.split()}, top


@pytest.mark.parametrize("package", PACKAGES, ids=name_of)
def test_no_circle_of_files_or_packages(package):
    found = circle(name_of(package), [pair for pair in ARROWS if " -> ".join(pair) not in TO_UNTIE])
    assert found is None, "a circle of imports:\n" + "\n".join(found)


@pytest.mark.parametrize("package", PACKAGES, ids=name_of)
def test_a_package_stays_small(package):
    found = entries(package)
    assert len(found) <= MOST_ENTRIES or name_of(package) in TO_UNTIE, f"{len(found)} entries: {found}"


def test_exceptions_are_still_needed():
    """What is mended leaves TO_UNTIE, so that the list only shrinks."""
    needed = {name_of(package) for package in PACKAGES if len(entries(package)) > MOST_ENTRIES}
    needed |= {" -> ".join(pair) for pair in ARROWS}
    assert not sorted(TO_UNTIE - needed), "mended: delete these lines from TO_UNTIE"


def test_the_test_sees_imports_in_every_form(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    file = tmp_path / "analysis" / "sub" / "x.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "import os, yolact.models.base\nfrom . import a\nfrom ..b import c\ndef f():\n    from experiments.plan import build\n"
    )
    assert set(imports(file)) == {"yolact.models.base", "analysis.sub.a", "analysis.b.c", "experiments.plan.build"}
    assert not within("experiments.plan.build", MAY_IMPORT["analysis"])
    (file.parent / "a.py").write_text("from analysis import b")
    (tmp_path / "analysis" / "b.py").write_text("from .sub.x import f")
    found = arrows([file, file.parent / "a.py", tmp_path / "analysis" / "b.py"])
    assert found == [
        ("analysis/b.py", "analysis/sub/x.py"),
        ("analysis/sub/a.py", "analysis/b.py"),
        ("analysis/sub/x.py", "analysis/b.py"),
        ("analysis/sub/x.py", "analysis/sub/a.py"),
    ]
    assert circle("analysis", found) is not None
    assert circle("analysis/sub", found) is None
    assert len(entries(tmp_path / "analysis")) == 2


@pytest.mark.parametrize(
    ("pair", "up"),
    [
        (("experiments/store/gc.py", "experiments/launch/status.py"), True),
        (("experiments/launch/status.py", "experiments/store/gc.py"), False),
        (("experiments/plan/build.py", "experiments/run/worker.py"), False),
        (("experiments/spec/x.py", "experiments/unknown.py"), True),
        (("yolact/ops/nms.py", "yolact/data/coco.py"), True),
        (("yolact/ops/nms.py", "yolact/ops/boxes.py"), False),
        (("yolact/__init__.py", "yolact/errors.py"), True),
        (("analysis/a.py", "experiments/store/folder.py"), False),
    ],
)
def test_the_test_tells_up_from_down(pair, up):
    assert goes_up(pair) == up


def test_what_must_answer_at_once_imports_no_torch():
    """One fresh interpreter for all: torch must not come in by any of them."""
    modules = [name_of(path).removesuffix(".py").replace("/", ".") for path in FILES if name_of(path).startswith(TORCH_FREE)]
    names = [*ANSWERS_AT_ONCE, *(name.removesuffix(".__init__") for name in modules)]
    code = "\n".join(
        ["import sys, importlib"]
        + [f"importlib.import_module({name!r}); assert 'torch' not in sys.modules, {name!r}" for name in names]
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
    long = {name_of(path): n for path in FILES if (n := len(path.read_text().splitlines())) > 300}
    assert not long
