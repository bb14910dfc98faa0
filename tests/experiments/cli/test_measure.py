"""`yolact predict`, `evaluate` and `speed`, from the command line to what they print and write."""

import errno
import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.cli.main import call
from experiments.store.folder import Store
from tests.support.paths import SHARED
from yolact.config import AnchorConfig, BackboneConfig, FPNConfig, MaskRCNNConfig, PrototypeConfig, YolactConfig
from yolact.evaluation.coco import METRICS
from yolact.evaluation.results import from_records
from yolact.models.build import build_model
from yolact.models.checkpoint import write_state_dict
from yolact.runtime.files import write_json

REFERENCES = SHARED / "data" / "evaluator_refs"
needs_references = pytest.mark.skipif(not REFERENCES.is_dir(), reason="../shared/data/evaluator_refs is not there")
# Printed by the COCO API: shared/data/evaluator_refs/val2014_fake_eval_res.txt
PUBLISHED = {
    "segm": (0.320, 0.562, 0.299, 0.387, 0.310, 0.327, 0.268, 0.415, 0.417, 0.469, 0.377, 0.381),
    "bbox": (0.505, 0.697, 0.573, 0.586, 0.519, 0.501, 0.387, 0.594, 0.595, 0.640, 0.566, 0.564),
}
TINY_BACKBONE = BackboneConfig(name="resnet_tiny", weights=None, width=4)
YOLACT = YolactConfig(
    image_size=64,
    backbone=TINY_BACKBONE,
    fpn=FPNConfig(channels=8),
    anchors=AnchorConfig(scales=((8,), (16,), (24,), (32,), (48,))),
    mask_branch=PrototypeConfig(k=3, channels=8, depth=1),
)
MASK_RCNN = MaskRCNNConfig(image_size=64, backbone=TINY_BACKBONE, channels=8, representation=16, anchor_sizes=(8, 16, 32))


def write_result(folder, config):
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    write_state_dict(build_model(config, 2, pretrained=False).state_dict(), folder / "weights.pt")
    write_json(folder / "model.json", {"model": config.to_data(), "class_names": ["disc", "star"], "category_ids": [5, 90]})
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A result folder as a train stage leaves it, with random weights: it finds something everywhere."""
    return write_result(tmp_path_factory.mktemp("trained") / "result", YOLACT)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 4), dtype=np.uint8)
    Image.fromarray(pixels[..., :3]).save(folder / "b.png")
    Image.fromarray(pixels[..., 0]).save(folder / "a.jpg")
    Image.fromarray(pixels).save(folder / "a.png")
    (folder / "notes.txt").write_text("not a picture")
    return folder


def run(capsys, *arguments):
    """(exit status, standard output, standard error) of one command line."""
    capsys.readouterr()
    status = call([str(argument) for argument in arguments])
    return (status, *capsys.readouterr())


def columns(text):
    """{column: {row: value}} of a printed table."""
    header, *rows = (line.split() for line in text.strip().splitlines())
    return {name: {row[0]: float(row[1 + place]) for row in rows} for place, name in enumerate(header)}


@needs_references
@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
def test_evaluate_prints_the_published_numbers(iou_type):
    truth, found = REFERENCES / "instances_val2014_100.json", REFERENCES / f"instances_val2014_fake{iou_type}100_results.json"
    command = [sys.executable, "-m", "experiments.cli.main", "evaluate", "--annotations", truth, "--detections", found]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert columns(ended.stdout) == {iou_type: dict(zip(METRICS, PUBLISHED[iou_type], strict=True))}
    assert ended.stderr == ""


def square_truth(tmp_path):
    square = {"image_id": 1, "category_id": 5, "bbox": [2, 2, 4, 4]}
    truth = {
        "images": [{"id": 1, "file_name": "a.png", "height": 9, "width": 9}],
        "annotations": [{**square, "id": 1, "area": 16, "iscrowd": 0, "segmentation": [[2, 2, 6, 2, 6, 6, 2, 6]]}],
        "categories": [{"id": 5, "name": "disc"}],
    }
    write_json(tmp_path / "truth.json", truth)
    write_json(tmp_path / "found.json", [{**square, "score": 0.5}])
    return tmp_path / "truth.json", tmp_path / "found.json"


def test_evaluate_writes_what_it_printed(tmp_path, capsys):
    truth, found = square_truth(tmp_path)
    out = tmp_path / "out"
    status, printed, _ = run(capsys, "evaluate", "--annotations", truth, "--detections", found, "--out", out)
    assert status == 0
    assert sorted(path.name for path in out.iterdir()) == ["curves.json", "matches.npz", "metrics.json", "per_class.csv"]
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["bbox"]["AP"] == pytest.approx(1) and metrics["bbox"]["APl"] == -1
    assert columns(printed) == {"bbox": {name: round(value, 3) for name, value in metrics["bbox"].items()}}


def test_evaluate_goes_by_the_rules_that_are_asked_for(tmp_path, capsys):
    """The official code leaves AP by size undefined, and an image without objects out: here one with a false positive."""
    truth, found = square_truth(tmp_path)
    data, records = json.loads(truth.read_text()), json.loads(found.read_text())
    truth.write_text(json.dumps({**data, "images": [*data["images"], {**data["images"][0], "id": 9}]}))
    found.write_text(json.dumps([*records, {**records[0], "image_id": 9, "score": 1.0}]))
    command = ("evaluate", "--annotations", truth, "--detections", found)
    by_coco, official = (columns(run(capsys, *command, "--rules", rules)[1])["bbox"] for rules in ("coco", "official"))
    assert by_coco == columns(run(capsys, *command)[1])["bbox"]
    assert by_coco["AP"] < official["AP"] == 1 and official["APs"] == -1
    run(capsys, *command, "--rules", "official", "--out", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["bbox"]["AP"] == pytest.approx(1)


def test_evaluate_of_no_detections_is_zero_for_both(tmp_path, capsys):
    truth, found = square_truth(tmp_path)
    found.write_text("[]")
    status, printed, _ = run(capsys, "evaluate", "--annotations", truth, "--detections", found)
    assert status == 0 and columns(printed)["segm"]["AP"] == columns(printed)["bbox"]["AP"] == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the detections"),
        ('[{"image_id": 7, "category_id": 5, "bbox": [0, 0, 1, 1], "score": 1}]', "record 0: unknown image_id 7"),
        ('[{"image_id": 1, "category_id": 5, "bbox": [0, 0, 1, 1], "score": NaN}]', "record 0: score"),
    ],
)
def test_evaluate_names_what_is_wrong(tmp_path, capsys, content, message):
    truth, found = square_truth(tmp_path)
    found.unlink() if content is None else found.write_text(content)
    status, printed, error = run(capsys, "evaluate", "--annotations", truth, "--detections", found)
    assert status == 2 and message in error and not printed and "Traceback" not in error


def test_predict_draws_and_writes_every_picture_of_a_folder(tmp_path, capsys, trained, photos):
    out = tmp_path / "out"
    status, printed, _ = run(capsys, "predict", photos, "--result", trained, "--out", out, "--device", "cpu")
    assert status == 0 and "in 3 images" in printed
    assert sorted(path.name for path in out.iterdir()) == ["a-2.png", "a.png", "b.png", "detections.json", "images.json"]
    listed = json.loads((out / "images.json").read_text())
    assert [(Path(image["file_name"]).name, image["overlay"]) for image in listed["images"]] == [
        ("a.jpg", "a.png"),
        ("a.png", "a-2.png"),
        ("b.png", "b.png"),
    ]
    assert listed["categories"] == [{"id": 5, "name": "disc"}, {"id": 90, "name": "star"}]
    with Image.open(out / "b.png") as overlay, Image.open(photos / "b.png") as original:
        assert overlay.size == original.size == (60, 40)
        assert (np.asarray(overlay) != np.asarray(original)).any()

    records = json.loads((out / "detections.json").read_text())
    assert {record["image_id"] for record in records} == {1, 2, 3}
    assert min(record["score"] for record in records) >= 0.3
    assert len(from_records([r for r in records if r["image_id"] == 3], [5, 90], 40, 60)) > 0


def test_predict_leaves_out_what_is_below_the_threshold(tmp_path, capsys, trained, photos):
    out = tmp_path / "out"
    run(capsys, "predict", photos / "b.png", "--result", trained, "--out", out, "--device", "cpu", "--threshold", "1")
    assert json.loads((out / "detections.json").read_text()) == []
    with Image.open(out / "b.png") as overlay, Image.open(photos / "b.png") as original:
        assert np.array_equal(np.asarray(overlay), np.asarray(original))


def test_predict_passes_over_a_broken_picture_and_says_so(tmp_path, capsys, trained, photos):
    (photos / "ab.png").write_bytes((photos / "b.png").read_bytes()[:200])
    out = tmp_path / "out"
    status, printed, error = run(capsys, "predict", photos, "--result", trained, "--out", out, "--device", "cpu")
    assert status == 2 and "in 3 images" in printed
    assert "1 of 4 images could not be read" in error and "ab.png" in error and "Traceback" not in error
    assert (out / "b.png").exists() and not (out / "ab.png").exists()
    assert {record["image_id"] for record in json.loads((out / "detections.json").read_text())} == {1, 2, 4}


def test_pictures_written_behind_the_network_have_the_same_bytes(tmp_path, capsys, trained, photos, monkeypatch):
    command = ("predict", photos, "--result", trained, "--device", "cpu", "--out")
    run(capsys, *command, tmp_path / "behind")
    monkeypatch.setattr("yolact.inference.predict_images.behind", lambda work, depth: nullcontext(work))
    run(capsys, *command, tmp_path / "inline")
    written = {path.name: path.read_bytes() for path in (tmp_path / "inline").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "behind").iterdir()} == written and len(written) == 5


def test_a_picture_that_cannot_be_written_ends_predict(tmp_path, capsys, trained, photos, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("yolact.inference.drawing.draw", full)
    out = tmp_path / "out"
    status, printed, error = run(capsys, "predict", photos, "--result", trained, "--out", out, "--device", "cpu")
    assert status == 2 and "the disk is full" in error and not printed and "Traceback" not in error
    assert list(out.iterdir()) == []


def test_predict_finds_a_stage_in_the_results_folder(tmp_path, capsys, photos):
    store = Store(tmp_path / "results")
    for kind in ("train", "coco"):
        store.write_stage(f"{kind}-0", {"kind": kind})
        write_json(store.stage_folder(f"{kind}-0") / "status.json", {"state": "done"})
    write_result(store.stage_folder("train-0") / "result", MASK_RCNN)
    common = ["predict", photos / "b.png", "--results", store.root, "--out", tmp_path / "out", "--device", "cpu"]
    assert run(capsys, *common, "--stage", "train-0")[0] == 0

    status, _, error = run(capsys, *common, "--stage", "coco-0")
    assert status == 2 and "coco-0 is a coco stage: give the train stage" in error
    status, _, error = run(capsys, *common, "--stage", "train-1")
    assert status == 2 and "no stage 'train-1'" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such picture or folder"),
        (["empty"], "empty: the folder holds no pictures"),
        (["photos", "--stage", "train-0"], "exactly one of --preset, --stage, --result"),
        (["photos", "--device", "abacus"], "--device 'abacus' can't be used"),
        (["photos", "--threshold", "2"], "is not in the range"),
    ],
)
def test_predict_names_what_is_wrong(tmp_path, capsys, monkeypatch, trained, photos, arguments, message):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    status, _, error = run(capsys, "predict", *arguments, "--result", trained, "--out", tmp_path / "out")
    assert status == 2 and message in error and "Traceback" not in error


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: (folder / "weights.pt").unlink(), "weights.pt is missing"),
        (lambda folder: (folder / "weights.pt").write_bytes(b"no"), "weights.pt: not readable as tensors"),
        (lambda folder: (folder / "model.json").write_text("{"), "model.json does not describe a model"),
        (lambda folder: (folder / "model.json").write_text("[]"), "model.json does not describe a model"),
    ],
)
def test_a_broken_result_folder_is_named(tmp_path, capsys, photos, break_it, message):
    folder = write_result(tmp_path / "result", YOLACT)
    break_it(folder)
    status, _, error = run(capsys, "predict", photos, "--result", folder, "--out", tmp_path / "out", "--device", "cpu")
    assert status == 2 and message in error and "Traceback" not in error


@pytest.mark.parametrize("config", [YOLACT, MASK_RCNN], ids=["yolact", "mask_rcnn"])
def test_speed_prints_every_section_and_the_protocol(tmp_path, capsys, config):
    folder = write_result(tmp_path / "result", config)
    options = ["--device", "cpu", "--threads", 1, "--repeats", 2, "--size", "50x40"]
    status, printed, _ = run(capsys, "speed", "--result", folder, *options)
    assert status == 0
    names = [line.split()[0] for line in printed.splitlines() if line]
    assert names[:4] == ["median", "latency", "fps", "preprocess"]
    assert {*build_model(config, 2, pretrained=False).section_names, "copy", "other"} <= set(names)
    for part in ("threads: 1", "fp32", "batch 1", "inside the clock", "outside", "detections per image"):
        assert part in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "exactly one of --preset, --stage, --result"),
        (["--preset", "yolact_bas"], "did you mean 'yolact_base'"),
        (["--preset", "yolact_base", "--size", "640"], "not a size such as 640x480"),
        (["--preset", "yolact_base", "--size", "0x480"], "not a size such as 640x480"),
    ],
)
def test_speed_names_what_is_wrong(capsys, arguments, message):
    status, _, error = run(capsys, "speed", *arguments)
    assert status == 2 and message in error and "Traceback" not in error


@pytest.mark.parametrize("command", ["predict", "evaluate", "speed"])
def test_help_shows_an_example(capsys, command):
    status, printed, _ = run(capsys, command, "--help")
    assert status == 0 and f"Example:\n    yolact {command} " in printed


def test_help_does_not_wait_for_torch():
    code = "import sys; from experiments.cli.main import call; call(['predict', '--help']); print('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "False"
