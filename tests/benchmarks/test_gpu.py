"""The GPU benchmark in miniature on the CPU: every step, stopping, and going on."""

import csv
import json
import os
import subprocess
import sys

import pytest
import torch
from PIL import Image

from benchmarks.gpu import COMMANDS
from benchmarks.gpu_agreement import _compare_detections, _compare_raw, agreement, paired
from benchmarks.gpu_data import recompress
from benchmarks.gpu_networks import TINY_IMAGE, drawn, presets
from experiments.datasets.datasets import folder_dataset
from tests.support.paths import ROOT
from yolact.errors import UserError
from yolact.structures import Detections, RawOutputs

OUTPUTS = {"tables.md", "agreement.csv", "speed.csv", "ablations.csv", "speed.png", "ablations.png", "environment.json"}
OUTPUTS |= {"throughput.csv", "training.csv", *(f"{name}.{kind}" for name in COMMANDS for kind in ("csv", "png"))}


def call(seconds, folder):
    command = [ROOT / "benchmarks" / "gpu.sh", str(seconds), folder / "out"]
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
    speeds = list(csv.DictReader((tmp_path / "out" / "speed.csv").open()))
    assert {(row["preset"], row["precision"]) for row in speeds} == {(p, t) for p in presets(True) for t in ("fp32", "bf16")}
    rates = list(csv.DictReader((tmp_path / "out" / "throughput.csv").open()))
    assert {(row["preset"], row["batch"], row["engine"]) for row in rates} == {(p, "2", "eager") for p in presets(True)}
    steps = list(csv.DictReader((tmp_path / "out" / "training.csv").open()))
    assert [(row["preset"], row["precision"]) for row in steps] == [("tiny_yolact", "bf16"), ("tiny_yolact", "fp32")]
    assert all(float(row["images_per_s"]) > 0 for row in (*rates, *steps))
    ablation = list(csv.DictReader((tmp_path / "out" / "ablations.csv").open()))
    assert {row["n"] for row in ablation if row["metric"] == "mask_AP"} == {"2"}
    text = (tmp_path / "out" / "tables.md").read_text()
    assert "## Agreement" in text and "## Speed" in text and "## Throughput" in text and "shapes (test), scale toy" in text

    third = call(600, tmp_path)
    assert third.returncode == 0 and "tiny_" not in third.stdout and "0 to run" in third.stdout


def test_a_seconds_that_is_no_number_is_named():
    ended = subprocess.run([ROOT / "benchmarks" / "gpu.sh", "soon", "out"], capture_output=True, text=True)
    assert ended.returncode == 2 and "'soon' is not a number of seconds" in ended.stderr


def test_every_tiny_network_finds_something_and_agrees_with_itself():
    for preset in presets(tiny=True).values():
        rows = agreement(preset, "cpu", TINY_IMAGE)
        assert rows and all(row["agrees"] and row["count"] > 0 for row in rows), rows
        assert {"whole: detections", "whole: masks"} <= {row["quantity"] for row in rows}


def test_a_network_is_drawn_the_same_every_time():
    preset = presets(tiny=True)["tiny_yolact"]
    ours, theirs = drawn(preset).state_dict(), drawn(preset).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def found(*boxes, labels=None):
    count = len(boxes)
    masks = torch.zeros(count, 10, 10, dtype=torch.bool)
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(count, 4)
    return Detections(corners, torch.ones(count), torch.tensor(labels or [0] * count), masks)


A, B = (0, 0, 4, 4), (5, 5, 9, 9)


@pytest.mark.parametrize(
    ("ours", "theirs", "pairs"),
    [
        (found(), found(), []),
        (found(A, B), found(B, A), [(0, 1), (1, 0)]),  # another order is no difference
        (found(A), found((0, 0, 4, 5.5)), []),  # a corner lies elsewhere
        (found(A), found(A, labels=[1]), []),
        (found(A, A), found(A), [(0, 0)]),  # each once
    ],
)
def test_detections_are_paired(ours, theirs, pairs):
    assert paired(ours, theirs) == pairs


def test_differences_are_noted():
    noted = {}

    def note(quantity, difference, count, detail=""):
        noted[f"{quantity} {detail}".strip()] = (difference, count)

    ours, theirs = found(A, B), found(A)
    theirs.masks[0, 0, 0] = True
    _compare_detections("whole", ours, theirs, note)
    assert noted == {"whole: detections": (0.5, 2), "whole: masks": (1 / 100, 100)}

    raw = RawOutputs(torch.tensor([2.0, -4]), torch.ones(1), torch.ones(1), None, None, torch.ones(1))
    other = RawOutputs(torch.tensor([2.0, -3]), torch.ones(1), torch.ones(1), None, None, torch.ones(1))
    noted.clear()
    _compare_raw(raw, other, note)
    assert noted == {"raw offsets": (0.25, 2), "raw logits": (0, 1), "raw mask_parameters": (0, 1)}


def coco_folder(root, file_name="a b.png"):
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    Image.linear_gradient("L").resize((20, 10)).save(root / "images" / "a b.png")
    for split in ("train", "val"):
        image = {"id": 7, "file_name": file_name, "width": 20, "height": 10}
        box = {"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 1, 4, 4], "area": 16, "iscrowd": 0}
        box["segmentation"] = [[1, 1, 5, 1, 5, 5, 1, 5]]
        data = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "nucleus"}]}
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(data))
    return root


def test_a_recompressed_data_set_holds_the_same_masks_and_nearly_the_same_pixels(tmp_path):
    source, target = coco_folder(tmp_path / "source"), tmp_path / "nuclei-jpeg"
    assert recompress(source, target) == recompress(source, target) == 2
    dataset = folder_dataset(target)
    assert dataset.name == "nuclei-jpeg" and set(dataset.splits) == {"train", "val"}
    dataset.ensure(tmp_path / "data")
    kept = json.loads((target / "annotations" / "instances_val.json").read_text())
    assert kept["annotations"] == json.loads((source / "annotations" / "instances_val.json").read_text())["annotations"]
    with Image.open(source / "images" / "a b.png") as before, Image.open(target / "images" / "7.jpg") as after:
        assert after.mode == "L"
        assert max(abs(x - y) for x, y in zip(before.tobytes(), after.tobytes(), strict=True)) < 10


@pytest.mark.parametrize(
    ("file_name", "message"), [("../a.png", "leads out of the folder"), ("/etc/passwd", "leads out of the folder")]
)
def test_recompressing_stays_in_the_folder(tmp_path, file_name, message):
    with pytest.raises(UserError, match=message):
        recompress(coco_folder(tmp_path / "source", file_name), tmp_path / "target")
    assert not (tmp_path / "target").exists()
