"""The comparison with peers in miniature, by those that are installed anyway."""

import csv
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from benchmarks import peers
from benchmarks.peer import Peer, calibrated, decide, settle
from tests.support.paths import ROOT


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
    assert len(found.look(threshold)) == len(found.look(0.0))
    assert not scores or threshold == 0 or not torch.any(torch.tensor(scores) == threshold)
    assert 0 <= threshold < 1


def test_a_network_takes_the_statistics_of_what_it_is_shown_and_decides():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.Dropout(0.5), nn.Conv2d(8, 5, 1, bias=False))
    noise = 100 + 50 * torch.rand(1, 3, 32, 32)
    settle(network, lambda: network(noise))
    assert not any(module.training for module in network.modules())
    assert network[:2](noise).mean().abs() < 1e-3 and abs(network[:2](noise).std() - 1) < 0.01
    decide([network[3]], lambda: network(noise))
    assert network(noise).std().item() == pytest.approx(3, rel=1e-3)


def test_the_script_says_what_it_lacks(tmp_path):
    """A Python that can't make the environment ends it; nothing is timed."""
    false = tmp_path / "python"
    false.write_text("#!/bin/sh\necho no venv here >&2\nexit 3\n")
    false.chmod(0o755)
    copy = tmp_path / "benchmarks" / "peers.sh"
    copy.parent.mkdir()
    copy.write_text((ROOT / "benchmarks" / "peers.sh").read_text())
    ended = subprocess.run(["bash", copy, "--tiny"], capture_output=True, text=True, env={**os.environ, "PYTHON": str(false)})
    assert ended.returncode == 3 and "no venv here" in ended.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_the_script_is_executable():
    assert os.access(ROOT / "benchmarks" / "peers.sh", os.X_OK)
