"""The command line of the benchmarks."""

import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS, load, main
from tests.support.paths import ROOT


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_describes_itself(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    printed = capsys.readouterr().out
    assert ended.value.code == 0 and printed.startswith(f"usage: python -m benchmarks {name}")
    assert load(name).__doc__.partition("\n")[0] in printed


def test_without_a_name_the_benchmarks_are_listed(capsys):
    assert main(["--help"]) == 0 and main([]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == 2 * list(BENCHMARKS)


def test_a_module_outside_runs_by_its_import_path(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text("def main(arguments):\n    print(arguments)\n    return 3\n")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "broken.py").write_text("import missing_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["mine", "--x"]) == 3 and capsys.readouterr().out == "['--x']\n"
    for name, message in (("empty", "no function `main`"), ("no.such", "name one of inference, nms")):
        assert main([name]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError, match="missing_package"):
        main(["broken"])


def test_no_benchmark_is_imported_before_it_runs():
    code = "import sys, benchmarks.__main__; print(any(name.startswith(('torch', 'matplotlib')) for name in sys.modules))"
    import subprocess

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout == "False\n"


def test_every_benchmark_is_listed_in_the_readme():
    text = Path(ROOT, "benchmarks", "README.md").read_text()
    assert [name for name in BENCHMARKS if f"benchmarks {name}" not in text] == []
