"""`yolact data`, end to end."""

import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from experiments.cli.keep.data import data
from experiments.datasets.find import find_dataset
from tests.support.folders import annotation, dataset, truncate, write
from yolact.config.base import ConfigError
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
    for module in ("experiments.datasets.declarations", "experiments.datasets.find", "experiments.cli.keep.data"):
        monkeypatch.setattr(f"{module}.DECLARATIONS", tmp_path)
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


IMPORTER = """
from experiments.datasets.importers.base import Importer
from tests.support.folders import dataset, write


class Squares(Importer):
    count: int = 1

    def splits(self, source, images, track, imported):
        for split in track(["train", "val"], source):
            write(images, dataset(), split=split)
            imported.left_out.append(f"{self.count} of {split}")
            yield split, dataset()


not_one = 3
"""


@pytest.fixture
def formats(tmp_path, monkeypatch):
    """A module of a user's own."""
    (tmp_path / "my_formats.py").write_text(IMPORTER)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("my_formats", None)


def test_an_importer_by_import_path(tmp_path, formats):
    out = tmp_path / "out"
    result = run("import", "my_formats:Squares", "source", out, "--set", "count=7")
    assert "left out: 7 of train" in result.output
    assert f"{out}: train: " in result.output
    assert set(find_dataset(str(out)).splits) == {"train", "val"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("sdb", "unknown importer 'sdb', did you mean 'sbd'"),
        ("my_formats:Sqares", "my_formats:Sqares: .*check the path"),
        ("no_such_module:X", "No module named 'no_such_module'"),
        ("my_formats:not_one", "is no subclass of"),
    ],
)
def test_an_importer_that_is_none(tmp_path, formats, name, says):
    result = CliRunner().invoke(data, ["import", name, "source", str(tmp_path / "out")])
    assert isinstance(result.exception, DatasetError)
    assert re.search(says, str(result.exception))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [[], ["--set", "side=8"], ["--set", "sid=40"]])
def test_options_of_an_importer_are_checked(tmp_path, options):
    write(tmp_path / "folder")
    result = CliRunner().invoke(data, ["import", "tiles", str(tmp_path / "folder"), str(tmp_path / "out"), *options])
    assert isinstance(result.exception, ConfigError)
    assert "side" in str(result.exception)
