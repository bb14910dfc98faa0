"""The set-up: what is declared in one file agrees with the others, and `make` installs once."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from rattler import MatchSpec, VersionSpec
from rattler import Version as CondaVersion
from ruamel.yaml import YAML

from tests.check_skips import allowed_skips, main, unlisted
from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME = PROJECT["name"]
EXTRAS = PROJECT["optional-dependencies"]
# Left out of the pins, so that a build of torch for another CUDA, or for none, can be put in place: torch pins its own.
OF_TORCH = ("nvidia-", "cuda-", "triton")
PYTHONS = [f"3.{minor}" for minor in range(11, 15)]


def pins() -> dict[str, Version]:
    """{canonical name: version} of constraints.txt."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    matches = [(line, re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)", line)) for line in lines]
    assert [line for line, match in matches if not match] == [], "only name==version may stand in constraints.txt"
    names = [canonicalize_name(match[1]) for _, match in matches if match]
    assert names == sorted(set(names)), "constraints.txt is sorted and names nothing twice"
    return {canonicalize_name(match[1]): Version(match[2]) for _, match in matches if match}


def declared() -> list[Requirement]:
    lists = [PROJECT["dependencies"], *EXTRAS.values()]
    return [requirement for lines in lists for requirement in map(Requirement, lines) if requirement.name != NAME]


def closure(name: str, extras: frozenset[str], seen: set[tuple[str, str]]) -> set[str]:
    """Canonical names of all that the installed distribution `name` needs on this platform."""
    found: set[str] = set()
    for line in importlib.metadata.requires(name) or []:
        requirement = Requirement(line)
        needed = not requirement.marker or any(requirement.marker.evaluate({"extra": extra}) for extra in extras | {""})
        key = (canonicalize_name(requirement.name), ",".join(sorted(requirement.extras)))
        if needed and key not in seen:
            seen.add(key)
            found |= {key[0]} | closure(key[0], frozenset(requirement.extras), seen)
    return found


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def test_everything_that_is_imported_is_declared():
    """Not left to what another dependency happens to bring; pydantic_core is pydantic's."""
    ours = {"yolact", "experiments", "analysis"}
    nodes = [
        node
        for top in ours
        for path in (ROOT / top).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    ]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    tops = {name.partition(".")[0] for name in names} - ours - set(sys.stdlib_module_names) - {"pydantic_core"}
    distributions = importlib.metadata.packages_distributions()
    known = {canonicalize_name(requirement.name) for requirement in declared()}
    missing = {top for top in tops if not {canonicalize_name(name) for name in distributions.get(top, [top])} & known}
    assert missing == set()


def test_extras_all_holds_every_extra():
    (everything,) = map(Requirement, EXTRAS["all"])
    assert everything.name == NAME
    assert everything.extras == set(EXTRAS) - {"all"}


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_a_declared_dependency_is_pinned_within_its_range(requirement):
    pinned = pins()
    assert canonicalize_name(requirement.name) in pinned
    assert pinned[canonicalize_name(requirement.name)] in requirement.specifier


def test_everything_that_gets_installed_is_pinned():
    installed = closure(NAME, frozenset({"all"}), set()) - {NAME}
    assert {name for name in installed - set(pins()) if not name.startswith(OF_TORCH)} == set()


def test_build_requirements_are_pinned():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert all(pins()[requirement.name] in requirement.specifier for requirement in map(Requirement, build))


def test_environment_is_valid_conda_and_agrees_with_pyproject():
    environment = YAML(typ="safe").load(ROOT / "environment.yml")
    assert set(environment) == {"name", "channels", "dependencies"}
    assert environment["name"] == NAME
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    *packages, pip = environment["dependencies"]
    specs = {spec.name.normalized: spec for spec in (MatchSpec(text, strict=True) for text in packages)}
    assert set(specs) == {"python", "pip"}
    assert pip == {"pip": ["-c constraints.txt", "-e .[all]"]}
    allowed = VersionSpec(str(specs["python"].version))
    candidates = ["3.10", *PYTHONS, "3.15"]
    assert [version for version in candidates if allowed.matches(CondaVersion(f"{version}.1"))] == PYTHONS


def test_python_versions_agree():
    ours = SpecifierSet(PROJECT["requires-python"])
    assert [version for version in ("3.10", *PYTHONS) if version in ours] == PYTHONS
    classified = [line.split(" :: ")[-1] for line in PROJECT["classifiers"] if line.startswith("Programming Language")]
    assert classified == PYTHONS
    assert "(3, 11) <= sys.version_info[:2] <= (3, 14)" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("a path of somebody's machine", r"(?<![\w.*}~-])/(home|root|Users|work|opt|mnt)/\w"),
        ("a package registry", r"pypi\.org|pythonhosted\.org|anaconda\.(org|com)|whl/(cpu|cu\d)"),
    ],
)
def test_no_tracked_file_names(what, pattern):
    found = []
    for path in tracked_files():
        text = path.read_bytes().decode("utf-8", "ignore") if path.suffix not in (".png", ".npz") else ""
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in re.finditer(pattern, text)]
    assert found == [], f"{what} in a tracked file"


@pytest.mark.parametrize(
    ("skip", "listed"),
    [
        (("tests.yolact.inference.test_speed::test_gpu[a]", "needs a CUDA device"), True),
        (("tests.yolact.inference.test_speed::test_gpu[a]", "not today"), False),
        (("tests.test_readme::test_commands", "needs a CUDA device"), False),
    ],
)
def test_a_skip_needs_both_its_test_and_its_reason_listed(skip, listed):
    patterns = allowed_skips("# why\n\ntests.yolact.* | needs a CUDA*\n")
    assert (unlisted([skip], patterns) == []) is listed


def test_a_listed_skip_without_a_reason_is_refused():
    with pytest.raises(ValueError, match=r"expected `test \| reason`, got 'tests\.\*'"):
        allowed_skips("tests.*")


def test_the_list_of_skips_can_be_read():
    allowed_skips((ROOT / "tests" / "allowed_skips.txt").read_text())


@pytest.mark.parametrize(("reason", "status"), [("needs a CUDA device", 0), ("because", 1)])
def test_check_skips_reads_junit(tmp_path, capsys, reason, status):
    (tmp_path / "list").write_text("* | needs a CUDA*")
    (tmp_path / "report.xml").write_text(
        '<testsuites><testsuite><testcase classname="tests.a" name="test_b"/><testcase classname="tests.a" name="test_c">'
        f'<skipped type="pytest.skip" message="{reason}">a.py:3</skipped></testcase></testsuite></testsuites>'
    )
    assert main(str(tmp_path / "list"), str(tmp_path / "report.xml")) == status
    assert ("tests.a::test_c skipped: because" in capsys.readouterr().err) is bool(status)


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    inherited = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHON")}
    command = ["make", *arguments]
    return subprocess.run(
        command, cwd=folder, env=inherited | environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            'case "$*" in *version_info*) exit 1;; --version) echo Python 3.9.2;; esac',
            r"3\.11 to 3\.14; .* is Python 3\.9\.2",
        ),
        ('case "$*" in *ensurepip*) exit 1;; esac', "apt install python3-venv"),
        (None, "no Python at '.*python'"),
    ],
    ids=["too old", "without venv", "absent"],
)
def test_make_says_what_is_wrong_with_a_python(tmp_path, script, message):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    python = tmp_path / "a python"
    if script:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
    done = make(tmp_path, "test", f"PYTHON={python}")
    assert done.returncode == 2
    assert re.search(message, done.stderr)
    assert not (tmp_path / ".venv").exists()


@pytest.mark.slow
def test_a_fresh_clone_installs_once_in_a_path_with_a_space(tmp_path):
    """Without the dependencies, which .ci/run installs for real before it comes here."""
    clone = tmp_path / "a clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    stamp = clone / ".venv" / "installed"
    first = make(clone, ".venv/installed", PIP_NO_DEPS="1")
    assert first.returncode == 0, first.stderr
    written = stamp.stat().st_mtime_ns

    second = make(clone, ".venv/installed", PIP_NO_DEPS="1")
    assert (second.returncode, stamp.stat().st_mtime_ns) == (0, written)
    assert "Installing" not in second.stdout

    versions = subprocess.run([clone / ".venv/bin/python", "-m", "pip", "freeze", "--all"], capture_output=True, text=True)
    assert f"setuptools=={pins()['setuptools']}" in versions.stdout
    assert (clone / ".venv/bin/yolact").is_file()

    os.utime(clone / "constraints.txt")
    assert make(clone, "--question", ".venv/installed").returncode == 1
