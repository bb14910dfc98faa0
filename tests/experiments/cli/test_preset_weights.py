"""`yolact predict`, `speed` and `export` with `--preset` and `--weights`: weights in a file, without a stage."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from tests.experiments.cli.test_measure import YOLACT, run
from tests.reference.official_layout import CHECKPOINTS, layout
from tests.support.networks import predict as predicted
from tests.support.paths import SHARED
from yolact.config import InferenceConfig, TrainingConfig, presets
from yolact.config.categories import COCO, PASCAL
from yolact.models.build import build_model
from yolact.models.checkpoint import write_state_dict
from yolact.models.official.names import to_official

REFERENCE = SHARED / "data" / "evaluator_refs" / "instances_val2014_100.json"


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A preset `tiny`, its weights in both layouts and a picture."""
    inference = InferenceConfig(score_threshold=0.0, whole_pixel_boxes=True, max_detections=7)
    preset = presets.Preset("tiny", "", YOLACT, TrainingConfig(), inference, presets.PASCAL_CLASSES)
    monkeypatch.setitem(presets.PRESETS, "tiny", preset)
    torch.manual_seed(5)
    model = build_model(YOLACT, 20, pretrained=False)
    write_state_dict(model.state_dict(), tmp_path / "ours.pt")
    write_state_dict(to_official(model), tmp_path / "official.pth")
    save_picture(tmp_path / "a.png")
    return tmp_path


def save_picture(path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(path)


def predict(capsys, folder, *source):
    arguments = ["predict", folder / "a.png", "--out", folder / "out", "--device", "cpu", "--threshold", "0", *source]
    status, _, error = run(capsys, *arguments)
    assert status == 0, error
    return [json.loads((folder / "out" / name).read_text()) for name in ("detections.json", "images.json")]


def test_both_layouts_predict_the_same_as_the_network_itself(tiny, capsys):
    found, listed = predict(capsys, tiny, "--preset", "tiny", "--weights", tiny / "official.pth")
    assert predict(capsys, tiny, "--preset", "tiny", "--weights", tiny / "ours.pt") == [found, listed]
    assert listed["categories"] == [{"id": number, "name": name} for number, name in PASCAL.items()]

    model = build_model(YOLACT, 20, pretrained=False)
    model.load_state_dict(torch.load(tiny / "ours.pt", weights_only=True))
    with Image.open(tiny / "a.png") as image:
        pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
    own = predicted(model, [pixels], presets.PRESETS["tiny"].inference)[0]
    assert len(own) == len(found) == 7  # the preset's own inference
    assert [record["category_id"] for record in found] == (own.labels + 1).tolist()
    np.testing.assert_allclose([record["score"] for record in found], own.scores, rtol=1e-5)
    x1, y1, x2, y2 = own.boxes.T.numpy()
    np.testing.assert_allclose([record["bbox"] for record in found], np.stack([x1, y1, x2 - x1, y2 - y1], 1), atol=0.01)


def test_speed_and_export_take_weights(tiny, capsys):
    source = ["--preset", "tiny", "--weights", tiny / "official.pth"]
    status, printed, error = run(capsys, "speed", *source, "--device", "cpu", "--repeats", "2", "--size", "60x40")
    assert status == 0 and "fps" in printed, error
    status, _, error = run(capsys, "export", *source, "--format", "torch", "--out", tiny / "net.pt2")
    assert status == 0, error
    extra = {"yolact": ""}
    program = torch.export.load(tiny / "net.pt2", extra_files=extra)
    described = json.loads(extra["yolact"])
    assert described["class_names"] == list(PASCAL.values()) and described["category_ids"] == list(PASCAL)
    ours = torch.load(tiny / "ours.pt", weights_only=True)
    (exported,) = [value for key, value in program.state_dict.items() if key.endswith("head.box.weight")]
    assert torch.equal(exported, ours["head.box.weight"])


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("predict", ["--preset", "tiny"], "--preset needs --weights FILE"),
        ("predict", ["--weights", "ours.pt"], "exactly one of --preset, --stage, --result"),
        ("predict", ["--preset", "tiny", "--stage", "x", "--weights", "ours.pt"], "exactly one of --preset"),
        ("predict", ["--result", ".", "--weights", "ours.pt"], "--weights belongs to --preset"),
        ("speed", ["--result", ".", "--weights", "ours.pt"], "--weights belongs to --preset"),
        ("predict", ["--preset", "tinny", "--weights", "ours.pt"], "unknown preset 'tinny'"),
        ("predict", ["--preset", "tiny", "--weights", "nowhere.pt"], "nowhere.pt: no such weights file"),
        ("predict", ["--preset", "tiny", "--weights", "a.png"], "a.png: not readable as tensors"),
        ("predict", ["--preset", "tiny", "--weights", "80.pt"], "head.classification.weight is (243, 8, 3, 3), the model's is"),
    ],
)
def test_what_is_wrong_is_named(tiny, capsys, monkeypatch, command, arguments, message):
    monkeypatch.chdir(tiny)
    if "80.pt" in arguments:
        write_state_dict(build_model(YOLACT, 80, pretrained=False).state_dict(), tiny / "80.pt")
    extra = ["a.png", "--out", "out"] if command == "predict" else []
    status, _, error = run(capsys, command, *extra, *arguments)
    assert status == 2 and message in error and "Traceback" not in error


def random_tensor(name, shape, generator):
    """Kernels that keep the size of what passes them; batch norm that halves it, so that a hundred layers stay finite."""
    if len(shape) == 4:
        return torch.randn(shape, generator=generator) / math.prod(shape[1:]) ** 0.5
    return torch.full(shape, {"running_var": 1.0, "weight": 0.5}.get(name.rsplit(".", 1)[1], 0.0))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "resnet50_pascal"])
def test_random_weights_in_a_published_layout(tmp_path, capsys, name):
    generator = torch.Generator().manual_seed(0)
    state = {key: random_tensor(key, shape, generator) for key, shape in layout(*CHECKPOINTS[name]).items()}
    torch.save(state, tmp_path / "w.pth")
    save_picture(tmp_path / "a.png")
    _, listed = predict(capsys, tmp_path, "--preset", f"yolact_{name}", "--weights", tmp_path / "w.pth")
    assert len(listed["categories"]) == CHECKPOINTS[name][1]


@pytest.mark.skipif(not REFERENCE.is_file(), reason="../shared/data/evaluator_refs is not there")
def test_coco_classes_are_those_of_its_annotations():
    categories = json.loads(REFERENCE.read_text())["categories"]
    assert {category["id"]: category["name"] for category in categories} == COCO


def test_classes_stand_in_the_order_of_published_labels():
    assert list(COCO) == sorted(COCO) and len(COCO) == 80
    assert list(PASCAL) == list(range(1, 21)) and list(PASCAL.values()) == sorted(PASCAL.values()), (
        "VOC's order is the alphabet's"
    )
    assert presets.preset("yolact_base").categories == COCO and presets.preset("yolact_resnet50_pascal").categories == PASCAL
