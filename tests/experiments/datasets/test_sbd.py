"""`yolact data sbd` on an SBD of three images, made here."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest
from PIL import Image

from experiments.cli.main import call
from experiments.datasets.find import find_dataset
from experiments.datasets.importers.sbd import Sbd
from yolact.errors import UserError
from yolact.ops import rle

savemat = pytest.importorskip("scipy.io").savemat

HEIGHT, WIDTH = 6, 9


def labels(*boxes):
    """(H, W) instance numbers from (x0, y0, x1, y1), the first is 1; later ones lie on top."""
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number, (x0, y0, x1, y1) in enumerate(boxes, 1):
        ids[y0:y1, x0:x1] = number
    return ids


def write(folder, name, ids, classes):
    """As SBD has it: a struct with a uint8 matrix, a column of doubles, and boundaries that nobody reads."""
    boundaries = np.empty((len(classes), 1), object)
    boundaries[:, 0] = [np.zeros((HEIGHT, WIDTH))] * len(classes)
    column = np.array(classes, np.float64).reshape(-1, 1)
    inst = {"Segmentation": ids, "Boundaries": boundaries, "Categories": column}
    savemat(folder / "inst" / f"{name}.mat", {"GTinst": inst}, do_compression=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "img" / f"{name}.jpg")


@pytest.fixture
def sbd(tmp_path):
    folder = tmp_path / "benchmark_RELEASE" / "dataset"
    for name in ("img", "inst"):
        (folder / name).mkdir(parents=True)
    write(folder, "2008_000001", labels((1, 2, 4, 5), (5, 0, 9, 2)), [15, 1])
    write(folder, "2008_000002", labels(), [])
    write(folder, "2008_000003", labels((0, 0, 9, 6), (2, 2, 5, 4)), [20, 20])
    (folder / "train.txt").write_text("2008_000001\n2008_000002\n")
    (folder / "val.txt").write_text("2008_000003\n")
    return folder


def read(out, split):
    return json.loads((out / "annotations" / f"instances_{split}.json").read_text())


def convert(source, out):
    return Sbd().run(str(source), out)


@pytest.mark.parametrize("start", ["benchmark_RELEASE/dataset", "benchmark_RELEASE", "."])
def test_as_a_command(sbd, tmp_path, start, capsys):
    out = tmp_path / "out"
    assert call(["data", "sbd", str(tmp_path / start), str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: train: 2 images, 2 objects; val: 1 images, 2 objects\n"
    assert call(["data", "check", str(out)]) == 0
    assert find_dataset(str(out)).ensure(tmp_path / "results") == out


def test_records(sbd, tmp_path):
    convert(sbd, tmp_path / "out")
    train, val = read(tmp_path / "out", "train"), read(tmp_path / "out", "val")
    assert [(c["id"], c["name"]) for c in train["categories"]][::19] == [(1, "aeroplane"), (20, "tvmonitor")]
    assert [(i["id"], i["file_name"], i["width"], i["height"]) for i in train["images"] + val["images"]] == [
        (1, "2008_000001.jpg", 9, 6),
        (2, "2008_000002.jpg", 9, 6),
        (3, "2008_000003.jpg", 9, 6),
    ]
    found = [
        (a["id"], a["image_id"], a["category_id"], a["bbox"], a["area"]) for a in train["annotations"] + val["annotations"]
    ]
    assert found == [
        (1, 1, 15, [1, 2, 3, 3], 9),
        (2, 1, 1, [5, 0, 4, 2], 8),
        (3, 3, 20, [0, 0, 9, 6], 48),
        (4, 3, 20, [2, 2, 3, 2], 6),
    ]
    masks = [rle.decode(a["segmentation"], HEIGHT, WIDTH) for a in val["annotations"]]
    ids = labels((0, 0, 9, 6), (2, 2, 5, 4))
    assert np.array_equal(masks[0], ids == 1) and np.array_equal(masks[1], ids == 2)
    assert all(a["iscrowd"] == 0 for a in val["annotations"])


def test_images_take_no_room_twice(sbd, tmp_path):
    convert(sbd, tmp_path / "out")
    assert os.path.samefile(sbd / "img" / "2008_000001.jpg", tmp_path / "out" / "train" / "2008_000001.jpg")


def test_images_are_copied_where_links_are_not_possible(sbd, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    convert(sbd, tmp_path / "out")
    copied = tmp_path / "out" / "val" / "2008_000003.jpg"
    assert copied.read_bytes() == (sbd / "img" / "2008_000003.jpg").read_bytes()


def test_what_is_left_out_is_told(sbd, tmp_path, capsys):
    ids = labels((0, 0, 3, 3))
    ids[5, 8] = 7
    write(sbd, "2008_000003", ids, [3, 4])
    assert call(["data", "sbd", str(sbd), str(tmp_path / "out")]) == 0
    told = capsys.readouterr().err
    assert "left out: val: 2008_000003: instance 2 (boat) has no pixels" in told
    assert "left out: val: 2008_000003: pixels of instances above 2" in told
    assert [a["category_id"] for a in read(tmp_path / "out", "val")["annotations"]] == [3]


def put(path, content):
    if content is None:
        path.unlink()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        savemat(path, content)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("inst/2008_000003.mat", None, "the annotation is missing"),
        ("inst/2008_000003.mat", b"", "no struct GTinst can be read"),
        ("inst/2008_000003.mat", b"MATLAB 5.0 MAT-file" + b"?" * 200, "no struct GTinst can be read"),
        ("inst/2008_000003.mat", {"GTcls": 1}, "no struct GTinst can be read"),
        ("inst/2008_000003.mat", {"GTinst": {"Segmentation": labels()}}, "no struct GTinst can be read"),
        ("inst/2008_000003.mat", {"GTinst": {"Segmentation": labels().T, "Categories": []}}, r"\(9, 6\), the image"),
        ("inst/2008_000003.mat", {"GTinst": {"Segmentation": labels(), "Categories": [21]}}, "class outside 1..20"),
        ("img/2008_000003.jpg", None, "the image is missing"),
        ("img/2008_000003.jpg", b"GIF89a", "not readable as a JPEG"),
        ("val.txt", b"../../etc/passwd\n", "line 1: '../../etc/passwd' is no image name"),
        ("val.txt", b"2008_000003\n2008_000003\n", "listed twice"),
        ("val.txt", None, "holds no img, inst, train.txt, val.txt"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_left(sbd, tmp_path, name, content, says):
    put(sbd / name, content)
    with pytest.raises(UserError, match=says) as error:
        convert(sbd, tmp_path / "out")
    assert name in str(error.value) or name == "val.txt"
    assert [path.name for path in tmp_path.iterdir()] == ["benchmark_RELEASE"]


def test_a_folder_that_exists_is_left_alone(sbd, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="exists already"):
        convert(sbd, tmp_path / "out")


def test_without_scipy_the_extra_is_named(sbd, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    assert call(["data", "sbd", str(sbd), str(tmp_path / "out")]) == 2
    assert "pip install 'yolact-workbench[sbd]'" in capsys.readouterr().err
