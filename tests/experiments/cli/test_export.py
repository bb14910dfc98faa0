"""`yolact export`, from the command line to the file."""

import json

import pytest
import torch

from experiments.cli.use.networks import load_network
from tests.experiments.cli.test_measure import MASK_RCNN, YOLACT, run, write_result
from yolact.config.presets import PRESETS
from yolact.inference.export import export_model
from yolact.inference.random_weights import settle

YOLACT_PRESETS = [name for name, preset in PRESETS.items() if preset.model.kind == "yolact"]


def agreement(printed):
    return float(printed.rsplit(" ", 1)[1])


def test_a_trained_network_is_exported_with_its_classes(tmp_path, capsys):
    folder = write_result(tmp_path / "result", YOLACT)
    out = tmp_path / "new" / "folder" / "net.pt2"
    status, printed, _ = run(capsys, "export", "--result", folder, "--out", out)
    assert status == 0 and str(out) in printed and agreement(printed) <= 1e-6
    extra = {"yolact": ""}
    torch.export.load(out, extra_files=extra)
    assert json.loads(extra["yolact"])["category_ids"] == [5, 90]


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("net.bin", (), "ends in none of .onnx, .pt2"),
        ("net", (), "ends in none of .onnx, .pt2"),
        ("net.pt2", ("--format", "onnx"), "another format than --format onnx"),
        ("net.ONNX", ("--format", "torch"), "another format than --format torch"),
    ],
)
def test_the_format_is_what_the_name_says(tmp_path, capsys, name, asked, message):
    status, _, error = run(capsys, "export", "--result", tmp_path, *asked, "--out", tmp_path / name)
    assert status == 2 and message in error and name in error and not list(tmp_path.iterdir())


def test_a_format_that_is_asked_for_may_have_any_other_name(tmp_path, capsys):
    out = tmp_path / "net.bin"
    assert run(capsys, "export", "--result", write_result(tmp_path / "r", YOLACT), "--format", "torch", "--out", out)[0] == 0
    torch.export.load(out.rename(tmp_path / "net.pt2"))


def test_the_name_of_an_onnx_file_is_enough(tmp_path, capsys):
    import onnx

    folder = write_result(tmp_path / "result", YOLACT)
    status, printed, _ = run(capsys, "export", "--result", folder, "--out", tmp_path / "net.onnx")
    assert status == 0 and agreement(printed) <= 1e-4
    onnx.checker.check_model(tmp_path / "net.onnx", full_check=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", YOLACT_PRESETS)
def test_every_preset_at_full_size(tmp_path, name):
    model = load_network({"preset": name}, None, tmp_path, "cpu").trained.model
    settle(model)
    for file_format, tolerance in (("onnx", 1e-4), ("torch", 1e-6)):
        assert max(export_model(model, tmp_path / "net", file_format).values()) <= tolerance


@pytest.mark.slow
def test_a_preset_by_its_name(tmp_path, capsys):
    status, printed, error = run(capsys, "export", "--preset", "yolact_resnet50", "--out", tmp_path / "net.onnx")
    assert status == 0, error
    assert agreement(printed) <= 1e-4


def test_mask_rcnn_is_refused(tmp_path, capsys):
    folder = write_result(tmp_path / "result", MASK_RCNN)
    status, _, error = run(capsys, "export", "--result", folder, "--out", tmp_path / "net.onnx")
    assert status == 2 and "MaskRCNN can't be exported" in error and "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "exactly one of --preset, --stage, --result"),
        (["--preset", "yolact_bas"], "did you mean 'yolact_base'"),
        (["--preset", "yolact_base", "--format", "tflite"], "is not one of 'onnx', 'torch'"),
        (["--result", "nowhere"], "model.json is missing"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, capsys, arguments, message):
    status, _, error = run(capsys, "export", *arguments, "--out", tmp_path / "net.onnx")
    assert status == 2 and message in error and "Traceback" not in error
