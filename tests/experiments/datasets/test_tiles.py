"""Tiles hold what their place in the image holds."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.datasets.find import find_dataset
from experiments.datasets.importers.tiles import Tiles, windows
from yolact.config.data import ShapesConfig
from yolact.data.coco import CocoSplit
from yolact.data.findings import DatasetError
from yolact.data.synthetic.shapes import generate_shapes
from yolact.ops import rle


def cut(source, out, side):
    return Tiles(side=side).run(str(source.root), out)


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(8, 120))
def test_tiles_lie_inside_apart_and_leave_less_than_one_over(height, width, side):
    seen = np.zeros((height, width), int)
    for top, left, bottom, right in windows(height, width, side):
        assert bottom - top == min(side, height) and right - left == min(side, width)
        seen[top:bottom, left:right] += 1
    assert seen.max() == 1
    for length, covered in ((height, seen.any(1).sum()), (width, seen.any(0).sum())):
        assert length - covered < side


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "shapes"
    generate_shapes(folder, ShapesConfig(train=3, val=2, test=1))
    return find_dataset(str(folder))


def test_pixels_and_masks_are_those_of_the_image(source, tmp_path):
    made = cut(source, tmp_path / "tiles", 40)
    tiles = find_dataset(str(tmp_path / "tiles"))
    assert set(tiles.splits) == {"train", "val", "test"}
    whole = CocoSplit(*source.paths("train", source.root))
    small = CocoSplit(*tiles.paths("train", tiles.root))
    assert len(small) == made.images["train"] == 3 * 9
    expected = {}
    for image_id in whole.image_ids:
        image, instances = whole.image(image_id), whole.instances(image_id)
        for top, left, bottom, right in windows(128, 128, 40):
            key = image[:, top:bottom, left:right].numpy().tobytes()
            expected[key] = instances.masks[:, top:bottom, left:right].numpy()
    for image_id in small.image_ids:
        masks = expected.pop(small.image(image_id).numpy().tobytes())
        masks = masks[masks.any(axis=(1, 2))]
        assert np.array_equal(small.instances(image_id).masks, masks)
    assert not expected


def test_a_small_piece_of_an_object_is_a_crowd(source, tmp_path):
    cut(source, tmp_path / "tiles", 32)
    tiles, whole = (json.loads((root / "annotations" / "instances_train.json").read_text())
                    for root in (tmp_path / "tiles", source.root))  # fmt: skip
    areas = [each["area"] for each in whole["annotations"]]
    pieces = [each["area"] for each in tiles["annotations"] if not each["iscrowd"]]
    assert min(pieces) >= min(areas) / 4
    assert any(each["iscrowd"] for each in tiles["annotations"])
    for each in tiles["annotations"]:
        assert rle.decode(each["segmentation"], 32, 32).sum() == each["area"]


def test_the_same_source_gives_the_same_bytes_and_nothing_is_overwritten(source, tmp_path):
    for name in ("a", "b"):
        cut(source, tmp_path / name, 50)
    files = [sorted((path.relative_to(tmp_path / name), path.read_bytes()) for path in (tmp_path / name).rglob("*.*"))
             for name in ("a", "b")]  # fmt: skip
    assert files[0] == files[1] and len(files[0]) > 6
    with pytest.raises(DatasetError, match="exists already"):
        cut(source, tmp_path / "a", 50)
    assert not list(tmp_path.glob(".*"))
