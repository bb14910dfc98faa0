"""Every fault is found, at the level that decides whether a run may start, and all of them at once."""

import copy
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.folders import annotation, dataset, image_record, pixels, truncate, write
from yolact.data.check import check, check_splits
from yolact.data.coco import CocoSplit
from yolact.data.findings import DatasetError
from yolact.data.images import _resolved

RLE = {"size": [20, 30], "counts": [60, 10, 530]}


def without(record, key):
    return {name: value for name, value in record.items() if name != key}


def one(**changes):
    return dataset(annotations=[annotation(**changes)])


ERRORS = {  # name: (annotation file, record, what it says)
    "no image has the id": (one(image_id=9), "annotation 1 of image 9", "unknown image_id"),
    "image_id is text": (one(image_id="1"), "annotation 1", "unknown image_id"),
    "unknown category": (one(category_id=99), "annotation 1 of image 1", "unknown category_id 99"),
    "category is a list": (one(category_id=[3]), "annotation 1 of image 1", "unknown category_id"),
    "annotation id twice": (dataset(annotations=[annotation(), annotation()]), "annotation 1", "used twice"),
    "annotation id is text": (one(id="a"), "annotation at position 0", "not an integer"),
    "image id twice": (dataset(images=[image_record(1), image_record(1, file_name="2.png")]), "image 1", "used twice"),
    "image file twice": (dataset(images=[image_record(1), image_record(2, file_name="1.png")]), "image 2", "same file"),
    "category id twice": (dataset(categories=[{"id": 3, "name": "a"}, {"id": 3, "name": "b"}]), "category 3", "used twice"),
    "category without name": (dataset(categories=[{"id": 3}]), "category 3", "lacks name"),
    "category name is a number": (dataset(categories=[{"id": 3, "name": 3}]), "category 3", "the name is 3"),
    "no categories": (dataset(categories=[], annotations=[]), "categories", "empty"),
    "no images": (dataset(images=[], annotations=[]), "images", "empty"),
    "image without width": (dataset(images=[without(image_record(), "width")]), "image 1", "lacks width"),
    "image of width 0": (dataset(images=[image_record(width=0)]), "image 1", "width 0"),
    "image of fractional height": (dataset(images=[image_record(height=2.5)]), "image 1", "height 2.5"),
    "file_name is a number": (dataset(images=[image_record(file_name=5)]), "image 1", "file_name is 5"),
    "annotation without bbox": (dataset(annotations=[without(annotation(), "bbox")]), "annotation 1", "lacks bbox"),
    "annotation is a list": (dataset(annotations=[[]]), "annotation at position 0", "not an object"),
    "image is null": (dataset(images=[None, image_record(1)]), "image at position 0", "not an object"),
    "iscrowd is 2": (one(iscrowd=2), "annotation 1", "iscrowd is 2"),
    "area is negative": (one(area=-1), "annotation 1", "area is -1"),
    "area is NaN": (one(area=float("nan")), "annotation 1", "area is nan"),
    "box of two corners": (one(bbox=[12, 13, -10, -10]), "annotation 1", "negative side"),
    "box is NaN": (one(bbox=[2, 3, float("nan"), 10]), "annotation 1", "write four finite"),
    "box is short": (one(bbox=[2, 3, 10]), "annotation 1", "write four finite"),
    "box outside": (one(bbox=[50, 3, 10, 10]), "annotation 1", "lies outside"),
    "segmentation empty": (one(segmentation=[]), "annotation 1", "empty"),
    "polygon of two points": (one(segmentation=[[1, 2, 3, 4]]), "annotation 1", "4 numbers"),
    "RLE of another size": (one(segmentation={**RLE, "size": [30, 20]}), "annotation 1", "has size [30, 20]"),
    "RLE counts wrong": (one(segmentation={**RLE, "counts": [60, 10]}), "annotation 1", "counts for 70 pixels"),
    "RLE string malformed": (one(segmentation={**RLE, "counts": "\x01"}), "annotation 1", "malformed"),
    "RLE without a pixel": (one(segmentation={**RLE, "counts": [600]}), "annotation 1", "marks no pixel"),
    "name leaves the folder": (
        dataset(images=[image_record(1), image_record(2, file_name="../x.png")]),
        "image 2",
        "leads out",
    ),
    "name is absolute": (dataset(images=[image_record(1), image_record(2, file_name="/x.png")]), "image 2", "leads out"),
    "image is missing": (dataset(images=[image_record(1), image_record(5)]), "image 5", "missing"),
    "image of another size": (dataset(images=[image_record(width=31), image_record(2)]), "image 1", "annotations say 31 x 20"),
}

WARNINGS = {
    "category never used": (dataset(), "category 7 (dot)", "no annotation uses it"),
    "category name twice": (
        dataset(categories=[{"id": 3, "name": "a"}, {"id": 4, "name": "a"}]),
        "category 4",
        "called 'a' too",
    ),
    "no iscrowd": (dataset(annotations=[without(annotation(), "iscrowd")]), "annotations", "no 'iscrowd'"),
    "annotation id 0": (one(id=0), "annotation 0", "no match"),
    "box of no width": (one(bbox=[2, 3, 0, 10]), "annotation 1", "no area"),
    "box sticks out": (one(bbox=[-4, 3, 16, 10]), "annotation 1", "sticks out"),
    "area disagrees": (one(area=300), "annotation 1", "area is 300, the mask has 100 pixels"),
    "mask reaches out of its box": (one(bbox=[2, 3, 4, 10]), "annotation 1", "6 pixels out of bbox"),
    "polygon around nothing": (one(segmentation=[[2, 3, 2, 3, 2, 3]]), "annotation 1", "no pixel centre"),
}


def matching(findings, level, record, what):
    return [f for f in findings if f.level == level and f.record.startswith(record) and what in f"{f.what}; {f.what_to_do}"]


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("decode", [False, True])
def test_errors_are_found_and_stop_loading(tmp_path, name, decode):
    data, record, what = ERRORS[name]
    images, annotations = write(tmp_path, data)
    findings = check(images, annotations, decode)
    assert matching(findings, "error", record, what), findings
    assert all(finding.what_to_do for finding in findings)
    with pytest.raises(DatasetError) as caught:
        CocoSplit(images, annotations)
    assert str(tmp_path) in str(caught.value)
    assert next(f for f in findings if f.level == "error").what in str(caught.value)


@pytest.mark.parametrize("name", WARNINGS)
def test_warnings_are_found_and_let_loading_pass(tmp_path, name):
    data, record, what = WARNINGS[name]
    images, annotations = write(tmp_path, data)
    findings = check(images, annotations)
    assert matching(findings, "warning", record, what), findings
    assert not [finding for finding in findings if finding.level == "error"]
    split = CocoSplit(images, annotations)
    assert len(split.instances(1)) == 1


FILES = {
    "not JSON": (b'{"images": [', "not valid JSON"),
    "not UTF-8": (b'{"images": "\xff\xfe"}', "not valid JSON"),
    "nested too deep": (b"[" * 100_000, "not valid JSON"),
    "a list": (b"[]", "no list 'images'"),
    "no annotations": (b'{"images": [], "categories": []}', "no list 'annotations'"),
    "categories is null": (b'{"images": [], "annotations": [], "categories": null}', "no list 'categories'"),
}


@pytest.mark.parametrize("name", FILES)
def test_broken_annotation_files(tmp_path, name):
    content, what = FILES[name]
    images, annotations = write(tmp_path)
    annotations.write_bytes(content)
    assert matching(check(images, annotations), "error", "", what)
    with pytest.raises(DatasetError, match=what):
        CocoSplit(images, annotations)


def test_missing_annotation_file_and_folder(tmp_path):
    images, annotations = write(tmp_path)
    assert matching(check(images, tmp_path / "none.json"), "error", "", "missing")
    assert matching(check(images, tmp_path), "error", "", "cannot be read")
    assert matching(check(tmp_path / "none", annotations), "error", "", "images folder is missing")


def test_unreadable_annotation_file(tmp_path, monkeypatch):
    images, annotations = write(tmp_path)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert matching(check(images, annotations), "error", "", "cannot be read (Permission denied)")


@pytest.mark.parametrize("decode", [False, True])
def test_broken_images_are_found_even_without_unpacking_all(tmp_path, decode):
    images, annotations = write(tmp_path)
    truncate(images / "2.png")
    assert matching(check(images, annotations, decode), "error", "image 2", "cut short")


def test_damage_inside_an_image_is_found_by_unpacking(tmp_path):
    images, annotations = write(tmp_path)
    content = bytearray((images / "1.png").read_bytes())
    content[60:200] = bytes(140)
    (images / "1.png").write_bytes(content)
    assert matching(check(images, annotations), "error", "image 1", "broken")


def sixteen(path):
    Image.fromarray(pixels()[..., 0].astype(np.uint16) * 256).save(path, format="PNG")


def four_inks(path):
    Image.fromarray(pixels()).convert("CMYK").save(path, format="JPEG")


def with_alpha(path):
    Image.fromarray(pixels()).convert("RGBA").save(path, format="PNG")


def frames(path):
    Image.fromarray(pixels()).save(path, format="GIF", save_all=True, append_images=[Image.fromarray(pixels(seed=3))])


def turned(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels()).save(path, format="PNG", exif=exif)


@pytest.mark.parametrize(
    ("save", "says"),
    [
        (sixteen, "high byte"),
        (four_inks, "colour profile"),
        (with_alpha, "alpha channel is dropped"),
        (frames, "first of 2 frames"),
        (turned, "orientation 6 is not applied"),
    ],
)
def test_unusual_images_are_warned_of(tmp_path, save, says):
    images, annotations = write(tmp_path)
    save(images / "1.png")
    findings = check(images, annotations)
    assert matching(findings, "warning", "image 1", says), findings
    assert CocoSplit(images, annotations).image(1).shape == (3, 20, 30)


def test_all_faults_at_once(tmp_path):
    """Each fault of the tables that lies in one annotation, put side by side into one file, is still found."""
    together, expected = [], []
    for name, (data, _, what) in ERRORS.items():
        broken = data["annotations"]
        if len(broken) == 1 and isinstance(broken[0], dict) and data["images"] == dataset()["images"]:
            if data["categories"] != dataset()["categories"] or not isinstance(broken[0].get("id"), int):
                continue
            number = 100 + len(together)
            together.append({**copy.deepcopy(broken[0]), "id": number})
            expected.append((name, number, what))
    images, annotations = write(tmp_path, dataset(annotations=together))
    findings = check(images, annotations)
    assert len(expected) > 12
    for name, number, what in expected:
        assert matching(findings, "error", f"annotation {number}", what), name
    with pytest.raises(DatasetError, match=f"and {len(expected) - 1} more errors"):
        CocoSplit(images, annotations)


def test_splits_are_compared(tmp_path):
    train = write(tmp_path, split="train")
    other = dataset(categories=[{"id": 3, "name": "square"}, {"id": 7, "name": "spot"}])
    val = write(tmp_path, other, split="val")
    Image.open(train[0] / "1.png").save(val[0] / "2.png")
    findings = check_splits({"train": train, "val": val})
    assert matching(findings, "warning", "split val", "1 images are also in the split 'train' (image 2)")
    assert matching(findings, "error", "split val", "categories are not those of the split 'train'")


def test_same_path_in_two_splits_needs_no_unpacking(tmp_path):
    images, annotations = write(tmp_path)
    findings = check_splits({"train": (images, annotations), "val": (images, annotations)}, decode=False)
    assert matching(findings, "warning", "split val", "2 images are also in")


def test_sound_data_give_no_finding(tmp_path):
    data = dataset(categories=[{"id": 3, "name": "square"}])
    assert check(*write(tmp_path, data)) == []


def test_checking_needs_no_torch():
    code = "import sys, yolact.data.check, experiments.datasets.find; sys.exit('torch' in sys.modules)"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0


def test_link_out_of_the_folder(tmp_path):
    _resolved.cache_clear()
    images, annotations = write(tmp_path)
    (tmp_path / "outside.png").write_bytes((images / "1.png").read_bytes())
    (images / "1.png").unlink()
    (images / "1.png").symlink_to(tmp_path / "outside.png")
    assert matching(check(images, annotations), "error", "image 1", "leads out")


def test_annotation_file_survives_loading(tmp_path):
    images, annotations = write(tmp_path, one(id=0))
    before = json.loads(annotations.read_text())
    CocoSplit(images, annotations)
    assert json.loads(annotations.read_text()) == before
