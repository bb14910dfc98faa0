"""The comparison with peers in miniature, by those that are installed anyway."""

import csv
import os
import subprocess
import sys

import pytest
import torch

from benchmarks.peers import compare as peers
from benchmarks.peers.peer import Peer, calibrated
from tests.support.paths import ROOT


@pytest.mark.slow
def test_the_command_writes_a_row_for_each_peer_and_a_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    peers.main(["--tiny", "--repeats", "2", "--threads", "1", "--out", str(tmp_path)])
    rows = list(csv.DictReader((tmp_path / "peers.csv").open()))
    assert [row["name"] for row in rows] == [peers.REFERENCE, "Mask R-CNN R-50-FPN, 64"]
    assert {"package", "input", "parameters_m", "precision", "score_threshold", "masks", "median_ms", "p25_ms", "p75_ms", "n",
            "ratio", "published_ap", "hardware", "threads", "torch", "date"} <= set(rows[0])  # fmt: skip
    assert {row["masks"] for row in rows} == {"100"} and rows[0]["ratio"] == "1.0"
    assert rows[1]["input"] == "85 x 64" and 44 < float(rows[1]["parameters_m"]) < 45  # as torchvision's documentation says
    assert (tmp_path / "peers.png").stat().st_size > 10_000


def peer(scores):
    kept = torch.tensor(scores)
    return Peer("x", "x", "1 x 1", 0, 0, lambda threshold: kept[kept > threshold])


@pytest.mark.parametrize("scores", [[0.9, 0.5, 0.2], [0.9, 0.2, 0.2], [1.0], [1e-38, 1e-40], [], [0.0]])
def test_the_threshold_lets_just_the_same_detections_through(scores):
    found = peer(scores)
    threshold = calibrated(found)
    assert len(found.run(threshold)) == len(found.run(0.0))
    assert not scores or threshold == 0 or not torch.any(torch.tensor(scores) == threshold)
    assert 0 <= threshold < 1


def test_the_script_says_what_it_lacks(tmp_path):
    """A Python that can't make the environment ends it; nothing is timed."""
    false = tmp_path / "python"
    false.write_text("#!/bin/sh\necho no venv here >&2\nexit 3\n")
    false.chmod(0o755)
    copy = tmp_path / "benchmarks" / "peers" / "peers.sh"
    copy.parent.mkdir(parents=True)
    copy.write_text((ROOT / "benchmarks" / "peers" / "peers.sh").read_text())
    ended = subprocess.run(["bash", copy, "--tiny"], capture_output=True, text=True, env={**os.environ, "PYTHON": str(false)})
    assert ended.returncode == 3 and "no venv here" in ended.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_the_script_is_executable():
    assert os.access(ROOT / "benchmarks" / "peers" / "peers.sh", os.X_OK)
