"""Data sets are found, identified without their files, verified when used, and refused when wrong."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from experiments.datasets.coco_folder import declare_folder, folder_dataset
from experiments.datasets.declarations import DECLARATIONS, SplitConfig, declared_names, split_digest
from experiments.datasets.find import find_dataset
from experiments.spec.document import SpecError
from tests.support import paths
from tests.support.folders import annotation, dataset, image_record, truncate, write
from yolact.data.coco import CocoSplit
from yolact.data.findings import DatasetError

SHARED = paths.SHARED / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not there")


@pytest.fixture
def folder(tmp_path):
    """A COCO-format folder with train and val."""
    root = tmp_path / "cells"
    write(root, split="train")
    write(root, split="val")
    return root


def declaration(path, root, **digests):
    splits = ""
    for split in ("train", "val"):
        digest = f"'{digests[split]}'" if split in digests else "null"
        splits += f"  {split}: {{images: {split}, annotations: annotations/instances_{split}.json, digest: {digest}}}\n"
    path.write_text(f"kind: coco\nname: cells\nroot: {root}\nsplits:\n{splits}")
    return str(path)


def test_bundled_declarations_need_neither_data_nor_torch():
    code = (
        "import sys\nfrom experiments.datasets.find import *\n"
        "ids = [find_dataset(name).id for name in declared_names()]\n"
        "assert len(set(ids)) == len(ids) >= 3\nsys.exit('torch' in sys.modules)"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0


def test_golden_ids():
    """A changed id retrains everything that was made with the data set."""
    assert {name: find_dataset(name).id for name in declared_names()} == {
        "coco": "f0b4903868ca26f0",
        "nuclei": "bb122eaed50ddaa6",
        "nuclei_tiles": "bd1670d601f5e19d",
        "sbd": "b14c1ed213932fe5",
        "shapes": "4e0651d3edb9f716",
    }


def test_a_folder_by_path(folder, tmp_path):
    data = find_dataset(str(folder))
    assert (data.name, data.splits) == ("cells", ("train", "val"))
    split = data.open("val", data.ensure(tmp_path / "results"))
    assert isinstance(split, CocoSplit) and split.image_ids == [1, 2]


@pytest.mark.parametrize(
    ("images", "annotations", "split"),
    [
        ("train2017", "instances_train2017.json", "train"),
        ("images/val2014", "instances_val2014.json", "val"),
        ("images/test", "instances_test.json", "test"),
        ("images", "instances_train.json", "train"),
        ("train", "instances_train2017.json", "train"),
        ("minival", "instances_minival.json", "minival"),
    ],
)
def test_layouts(tmp_path, images, annotations, split):
    made, file = write(tmp_path / "made")
    (tmp_path / "cells" / "annotations").mkdir(parents=True)
    shutil.copytree(made, tmp_path / "cells" / images)
    shutil.copy(file, tmp_path / "cells" / "annotations" / annotations)
    data = folder_dataset(tmp_path / "cells")
    assert data.splits == (split,)
    assert data.paths(split, data.root) == (tmp_path / "cells" / images, tmp_path / "cells" / "annotations" / annotations)


def test_layouts_that_are_refused(folder, tmp_path):
    shutil.copy(folder / "annotations" / "instances_train.json", folder / "annotations" / "instances_train2017.json")
    with pytest.raises(DatasetError, match="both look like the split 'train'"):
        find_dataset(str(folder))
    (folder / "annotations" / "instances_train2017.json").unlink()
    shutil.rmtree(folder / "val")
    with pytest.raises(DatasetError, match="found none of the image folders val, images/val, images in"):
        find_dataset(str(folder))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"there is no annotations/instances_<split>\.json"):
        find_dataset(str(tmp_path / "empty"))


@pytest.mark.parametrize(("given", "says"), [("shaps", "did you mean 'shapes'"), ("/none/at/all", "valid names: coco, nuclei")])
def test_unknown_names(given, says):
    with pytest.raises(DatasetError, match=says):
        find_dataset(given)


def test_unknown_splits(folder):
    with pytest.raises(DatasetError, match="no split 'vel', did you mean 'val'"):
        find_dataset(str(folder)).paths("vel", folder)


def test_folder_ids_follow_content_not_place(folder, tmp_path):
    first = find_dataset(str(folder)).id
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert find_dataset(str(tmp_path / "elsewhere")).id == first
    (folder / "train" / "unrelated.txt").write_text("x")
    assert find_dataset(str(folder)).id == first
    (folder / "train" / "1.png").write_bytes(b"another size")
    assert find_dataset(str(folder)).id != first


def test_folder_ids_follow_annotations(folder):
    first = find_dataset(str(folder)).id
    write(folder, dataset(annotations=[annotation(area=99)]), split="val")
    assert find_dataset(str(folder)).id != first


def test_expect(folder):
    data = find_dataset(str(folder))
    data.expect(data.id)
    with pytest.raises(DatasetError, match="plan again"):
        data.expect("0" * 16)


def test_declared_digests_are_verified(folder, tmp_path):
    digests = {s: split_digest(folder / s, folder / "annotations" / f"instances_{s}.json") for s in ("train", "val")}
    data = find_dataset(declaration(tmp_path / "cells.yaml", folder, **digests))
    assert data.id == find_dataset(str(folder)).id
    assert data.ensure(tmp_path / "results") == folder
    wrong = find_dataset(declaration(tmp_path / "cells.yaml", folder, **{**digests, "val": "0" * 16}))
    with pytest.raises(DatasetError, match=r"the split 'val' of cells has the digest .* was 0000000000000000"):
        wrong.ensure(tmp_path / "results")


def test_undeclared_digests_are_written_down_at_first_use(folder, tmp_path):
    path, results = declaration(tmp_path / "cells.yaml", folder), tmp_path / "results"
    data = find_dataset(path)
    planned = data.id
    data.ensure(results, ["train"])
    data.ensure(results)
    write(folder, dataset(annotations=[annotation(area=99)]), split="val")
    assert find_dataset(path).id == planned
    data.ensure(results, ["train"])
    with pytest.raises(DatasetError, match="declared or first used"):
        data.ensure(results)


def test_data_are_checked_in_full_once(folder, tmp_path, monkeypatch):
    import yolact.data.check as check

    calls = []
    original = check.check_splits
    monkeypatch.setattr(check, "check_splits", lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs))
    data = find_dataset(str(folder))
    for _ in range(2):
        data.ensure(tmp_path / "results")
    assert len(calls) == 1


@pytest.mark.parametrize("fault", ["annotation", "missing image", "damaged image", "missing root"])
def test_errors_stop_a_run_and_name_the_record(folder, tmp_path, fault):
    data = find_dataset(declaration(tmp_path / "cells.yaml", folder))
    if fault == "annotation":
        write(folder, dataset(annotations=[annotation(category_id=99)]), split="val")
        says = "instances_val.json: annotation 1 of image 1: unknown category_id 99"
    elif fault == "missing image":
        write(folder, dataset(images=[image_record(1), image_record(5)]), split="val")
        says = "val/5.png: image 5: the image is missing"
    elif fault == "damaged image":
        truncate(folder / "train" / "2.png")
        says = "train/2.png: image 2: the image is broken"
    else:
        shutil.rmtree(folder)
        says = "is missing; put the data there, or point YOLACT_DATA"
    with pytest.raises(DatasetError, match=re.escape(says)):
        data.ensure(tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_broken_record_of_first_use(folder, tmp_path):
    data = find_dataset(declaration(tmp_path / "cells.yaml", folder))
    data.ensure(tmp_path / "results")
    (record,) = (tmp_path / "results").rglob("val.json")
    record.write_text("{")
    with pytest.raises(DatasetError, match="delete it"):
        data.ensure(tmp_path / "results")


def test_results_folder_that_cannot_be_written(folder, tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(DatasetError, match="results"):
        find_dataset(str(folder)).ensure(tmp_path / "results")


def test_relative_roots_lie_in_the_datasets_folder(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("YOLACT_DATA", str(tmp_path))
    data = find_dataset(declaration(tmp_path / "cells.yaml", "cells"))
    assert data.ensure(tmp_path / "results") == folder
    monkeypatch.delenv("YOLACT_DATA")
    assert find_dataset(declaration(tmp_path / "cells.yaml", "cells")).root == Path("datasets/cells")


def test_shapes_are_generated_on_first_use(tmp_path):
    (tmp_path / "tiny.yaml").write_text("kind: shapes\nname: tiny\nshapes: {train: 2, val: 1, test: 1}\n")
    data = find_dataset(str(tmp_path / "tiny.yaml"))
    assert data.splits == ("train", "val", "test")
    root = data.ensure(tmp_path / "results")
    assert root == tmp_path / "results" / f"tiny-{data.id}" and data.ensure(tmp_path / "results") == root
    assert len(data.open("train", root)) == 2
    assert data.id != find_dataset("shapes").id


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: shapes\nname: a\nshapes: {trian: 3}", r":3: .*did you mean 'train'"),
        ("kind: shapes\nname: a\nname: b", ":3: "),
        ("kind: coco\nname: a\nroot: .\nsplits: {}", ":4: "),
        ("kind: coco\nname: a/b\nroot: .\nsplits: {}", ":2: "),
        ("kind: coco\nname: a\nroot: .\nsplits: {train: {images: ../x, annotations: a.json}}", "inside the data set's root"),
        ("kind: coco\nname: a\nroot: .\nsplits: {train: {images: x, annotations: /a.json}}", "inside the data set's root"),
        ("kind: csv\nname: a", "csv"),
    ],
)
def test_wrong_declarations(tmp_path, text, says):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=says) as caught:
        find_dataset(str(path))
    assert str(path) in str(caught.value)


def test_declaring_a_folder(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("YOLACT_DATA", str(tmp_path))
    declared = declare_folder(folder, "mine")
    assert (declared.name, declared.root) == ("mine", "cells")
    assert all(isinstance(split, SplitConfig) and split.digest for split in declared.splits.values())
    monkeypatch.delenv("YOLACT_DATA")
    assert declare_folder(folder, "mine").root == str(folder)


def test_declared_names_are_files():
    assert all((DECLARATIONS / f"{name}.yaml").is_file() for name in declared_names())


@needs_shared
def test_the_declared_nuclei_are_those_at_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("YOLACT_DATA", str(SHARED))
    data = find_dataset("nuclei")
    root = data.ensure(tmp_path, ["val"])
    assert len(data.open("val", root)) == 100
    assert json.loads(next(tmp_path.rglob("val.json")).read_text())["digest"] == data.split_configs["val"].digest
