"""The GPU benchmark in miniature on the CPU: every step, stopping, and going on."""

import csv
import os
import subprocess
import sys

import pytest

from benchmarks.common.networks import presets
from benchmarks.gpu.everything import COMMANDS
from tests.support.paths import ROOT

OUTPUTS = {"tables.md", "agreement.csv", "ablations.csv", "ablations.png", "environment.json"}
OUTPUTS |= {
    "throughput.csv",
    "throughput.png",
    "training.csv",
    *(f"{name}.{kind}" for name in COMMANDS for kind in ("csv", "png")),
}


def call(seconds, folder):
    command = [ROOT / "benchmarks" / "gpu" / "gpu.sh", str(seconds), folder / "out"]
    command += ["--results", folder / "results", "--device", "cpu", "--tiny"]
    environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_stops_by_itself_goes_on_and_then_has_nothing_left_to_do(tmp_path):
    first = call(12, tmp_path)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "to be continued" in first.stdout and "done:" not in first.stdout
    measured = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").glob("*/tiny_*.json")}

    second = call(600, tmp_path)
    assert second.returncode == 0, second.stdout + second.stderr
    assert second.stdout.splitlines()[-1].startswith("done:")
    assert {path: path.stat().st_mtime_ns for path in measured} == measured
    assert {path.name for path in (tmp_path / "out").iterdir()} == OUTPUTS
    rows = list(csv.DictReader((tmp_path / "out" / "agreement.csv").open()))
    assert {row["preset"] for row in rows} == set(presets(tiny=True)) and {row["agrees"] for row in rows} == {"True"}
    rates = list(csv.DictReader((tmp_path / "out" / "throughput.csv").open()))
    assert {(row["preset"], row["batch"], row["engine"]) for row in rates} == {(p, "2", "eager") for p in presets(True)}
    steps = list(csv.DictReader((tmp_path / "out" / "training.csv").open()))
    assert [(row["preset"], row["precision"]) for row in steps] == [("tiny_yolact", "bf16"), ("tiny_yolact", "fp32")]
    assert all(float(row["images_per_s"]) > 0 for row in (*rates, *steps))
    ablation = list(csv.DictReader((tmp_path / "out" / "ablations.csv").open()))
    assert {row["n"] for row in ablation if row["metric"] == "mask_AP"} == {"2"}
    text = (tmp_path / "out" / "tables.md").read_text()
    assert "## Agreement" in text and "## Throughput" in text and "shapes (test), scale toy" in text

    third = call(600, tmp_path)
    assert third.returncode == 0 and "tiny_" not in third.stdout and "0 to run" in third.stdout


def test_a_seconds_that_is_no_number_is_named():
    ended = subprocess.run([ROOT / "benchmarks" / "gpu" / "gpu.sh", "soon", "out"], capture_output=True, text=True)
    assert ended.returncode == 2 and "'soon' is not a number of seconds" in ended.stderr
