"""`yolact data`, end to end."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from experiments.cli.keep.data import data
from experiments.datasets import datasets
from experiments.datasets.datasets import find_dataset
from tests.support.folders import annotation, dataset, truncate, write
from yolact.data.findings import DatasetError


def run(*arguments, raises=None):
    result = CliRunner().invoke(data, [str(argument) for argument in arguments])
    if raises is None:
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    else:
        assert isinstance(result.exception, DatasetError), result.output
        assert raises in str(result.exception)
    return result


@pytest.mark.parametrize("command", [[], ["list"], ["check"], ["shapes"], ["declare"]])
def test_help_shows_an_example(command):
    assert "Example: yolact data" in run(*command, "--help").output


def test_list():
    output = run("list").output
    assert "shapes       4e0651d3edb9f716  train, val, test   generated on first use" in output
    assert "coco" in output and "nuclei" in output


def test_check_of_sound_data(tmp_path):
    for split in ("train", "val"):
        write(tmp_path, dataset(categories=[{"id": 3, "name": "square"}]), split=split)
    result = run("check", tmp_path)
    assert (result.exit_code, result.output) == (0, f"{tmp_path}: train, val: 0 errors, 0 warnings\n")


@pytest.mark.parametrize(
    ("split", "says"), [("train", "no split test or val to report results on"), ("val", "no split train to train on")]
)
def test_check_misses_splits(tmp_path, split, says):
    write(tmp_path, dataset(categories=[{"id": 3, "name": "square"}]), split=split)
    result = run("check", tmp_path)
    assert result.exit_code == 0 and f"warning  {tmp_path}\n         {says}\n" in result.output


def test_check_tells_everything(tmp_path):
    data = dataset(annotations=[annotation(1, category_id=99), annotation(2, bbox=[0, 0, -1, 1]), annotation(3, area=500)])
    images, annotations = write(tmp_path, data)
    truncate(images / "2.png")
    result = run("check", tmp_path)
    assert result.exit_code == 1
    assert f"error    {annotations}: annotation 1 of image 1\n         unknown category_id 99\n         -> add" in result.output
    assert "annotation 2 of image 1\n         bbox [0, 0, -1, 1] has a negative side" in result.output
    assert "warning " in result.output and "area is 500" in result.output
    assert f"error    {images / '2.png'}: image 2\n         the image is broken or cut short" in result.output
    assert result.output.endswith("train: 3 errors, 3 warnings\n")  # also: category 7 is never used, no split to report on


def test_check_by_declared_name_that_is_absent(tmp_path, monkeypatch):
    monkeypatch.setenv("YOLACT_DATA", str(tmp_path))
    result = run("check", "coco")
    assert result.exit_code == 1 and "the annotation file is missing" in result.output


def test_check_of_what_cannot_be_checked(tmp_path):
    run("check", tmp_path / "none", raises="is no declared data set")
    run("check", "shapes", raises="yolact data shapes OUT")


def test_shapes_is_made_then_verified_then_checked(tmp_path, monkeypatch):
    from yolact.config.data import ShapesConfig

    monkeypatch.setattr("experiments.cli.keep.data.ShapesConfig", lambda: ShapesConfig(train=40, val=20, test=20))
    assert run("shapes", tmp_path / "out").output == f"{tmp_path / 'out'}: made: 40 train, 20 val, 20 test images\n"
    assert "verified" in run("shapes", tmp_path / "out").output
    assert run("check", tmp_path / "out").exit_code == 0
    (tmp_path / "out" / "val" / "000001.png").write_bytes(b"")
    run("shapes", tmp_path / "out", raises="has changed since it was made")


def test_declare_then_find(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "DECLARATIONS", tmp_path)
    monkeypatch.setattr("experiments.datasets.declarations.DECLARATIONS", tmp_path)
    write(tmp_path / "folder", split="train")
    write(tmp_path / "folder", split="val")
    output = run("declare", tmp_path / "folder", "--name", "mine").output
    assert output == f"{tmp_path / 'mine.yaml'}: declares mine: train, val\n"
    found = find_dataset("mine")
    assert found.id == find_dataset(str(tmp_path / "folder")).id
    assert found.ensure(tmp_path / "results") == tmp_path / "folder"
    run("declare", tmp_path / "folder", "--name", "mine", raises="exists already")
    run("declare", tmp_path / "folder", "--name", "b", "--out", tmp_path / "no" / "b.yaml", raises="cannot be written")


@pytest.mark.parametrize("name", ["a/b", "../x", ""])
def test_declare_refuses_names_that_are_no_file_names(tmp_path, name):
    from yolact.errors import UserError

    write(tmp_path / "folder")
    result = CliRunner().invoke(data, ["declare", str(tmp_path / "folder"), "--name", name])
    assert isinstance(result.exception, UserError) and "name" in str(result.exception)
    assert not list(tmp_path.rglob("*.yaml"))


def test_as_a_command(tmp_path):
    write(tmp_path, dataset(annotations=[annotation(category_id=99)]))
    check = [sys.executable, "-m", "experiments.cli.main", "data", "check"]
    found = subprocess.run([*check, str(tmp_path)], capture_output=True, text=True)
    assert found.returncode == 1 and "unknown category_id 99" in found.stdout and found.stderr == ""
    lost = subprocess.run([*check, str(tmp_path / "none")], capture_output=True, text=True)
    assert lost.returncode == 2 and "Traceback" not in lost.stderr and "is no declared data set" in lost.stderr
