"""Probe pictures: the same pixels wherever an object stands, on a grid of the network's stride."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from yolact.config.data import ShapesConfig
from yolact.data.coco import CocoSplit
from yolact.data.synthetic.probe_images import SOLID, figure_five, moved, places, solid
from yolact.data.synthetic.shapes import generate_shapes
from yolact.data.synthetic.sprites import GROUND, LARGEST, SIDE, cut, drawn, paste, sprites
from yolact.errors import UserError

SIZE = 128


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "shapes"
    generate_shapes(folder, ShapesConfig(image_size=SIZE, train=1, val=1, test=12))
    return CocoSplit(folder / "test", folder / "annotations" / "instances_test.json")


def split_of(folder, boxes, names=("a", "b"), size=(100, 50)):
    """One picture of (width, height) with filled rectangles: (category, x, y, w, h, crowd)."""
    width, height = size
    picture = np.full((height, width, 3), (10, 20, 30), np.uint8)
    annotations = []
    for number, (category, x, y, w, h, crowd) in enumerate(boxes, start=1):
        picture[y : y + h, x : x + w] = (200, 100 + number, 50)
        ring = [x, y, x + w, y, x + w, y + h, x, y + h]
        segmentation = {"size": [height, width], "counts": [x * height + y, h, width * height - x * height - y - h]}
        annotations.append(
            {"id": number, "image_id": 1, "category_id": category, "iscrowd": crowd, "area": w * h, "bbox": [x, y, w, h],
             "segmentation": segmentation if crowd else [ring]}
        )  # fmt: skip
    Image.fromarray(picture).save(folder / "one.png")
    data = {
        "images": [{"id": 1, "file_name": "one.png", "width": width, "height": height}],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, start=1)],
    }
    (folder / "a.json").write_text(json.dumps(data))
    return CocoSplit(folder, folder / "a.json")


def test_shapes_are_drawn_one_of_each_class_and_other_data_are_cut(shapes, tmp_path):
    found, source = sprites(shapes, SIZE, 4)
    assert source == "drawn" and [one.label for one in found] == [0, 1, 2, 3]
    assert all(one.ground == GROUND and 0.6 * SIDE * SIZE < one.side <= SIDE * SIZE + 2 for one in found)
    other = split_of(tmp_path, [(1, 10, 10, 20, 10, 0)])
    assert sprites(other, SIZE, 4)[1] == "cut"


def test_drawing_and_cutting_twice_gives_the_same(shapes):
    for first, second in [
        (drawn(2, 1, SIZE), drawn(2, 1, SIZE)),
        *zip(cut(shapes, SIZE, 3), cut(shapes, SIZE, 3), strict=True),
    ]:
        assert np.array_equal(first.pixels, second.pixels) and np.array_equal(first.mask, second.mask)


def test_a_cut_object_is_what_stands_in_the_picture_as_the_network_sees_it(tmp_path):
    split = split_of(tmp_path, [(1, 30, 10, 20, 10, 0), (2, 70, 20, 10, 10, 0)])
    first, second = cut(split, 100, 5)  # squashed to 100 x 100, hence twice as high
    assert (first.label, first.mask.shape, second.label, second.mask.shape) == (0, (20, 20), 1, (20, 10))
    assert first.ground == (10, 20, 30)
    assert first.pixels[10, 10].tolist() == [200, 101, 50] and first.mask.all()


@pytest.mark.parametrize(
    ("boxes", "expected", "reason"),
    [
        ([(1, 10, 10, 19, 9, 0), (1, 40, 10, 18, 10, 0), (2, 70, 20, 9, 10, 0)], [0, 1, 0], "classes take turns"),
        ([(1, 0, 10, 19, 9, 0), (1, 40, 10, 12, 6, 0)], [0, 0], "objects at the border come last"),
        ([(1, 10, 10, 19, 9, 1), (2, 40, 10, 18, 10, 0)], [1], "crowds are no objects"),
        ([(1, 10, 10, 4, 20, 0), (2, 40, 10, 18, 10, 0)], [1], "slivers are left out"),
    ],
)
def test_which_objects_are_cut(tmp_path, boxes, expected, reason):
    found = cut(split_of(tmp_path, boxes), 100, 3)
    assert [one.label for one in found] == expected, reason
    if "border" in reason:
        assert found[0].side < found[1].side


def test_an_object_too_large_to_move_is_made_smaller(tmp_path):
    (found,) = cut(split_of(tmp_path, [(1, 5, 5, 80, 40, 0)]), 100, 1)
    assert found.side == round(SIDE * 100) < LARGEST * 100


def test_data_without_objects_are_refused_with_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"no image .* has an annotated object .* measure on another split"):
        cut(split_of(tmp_path, [(1, 10, 10, 2, 2, 0)]), 100, 1)


def test_wherever_an_object_stands_it_is_the_same_pixels():
    sprite, grid = drawn(3, 4, SIZE), places(SIZE, 26, 32, 6, 4)
    first, (covered,) = moved(SIZE, sprite, [(int(grid.centres[0]), int(grid.centres[0]))])
    assert covered.sum() == sprite.mask.sum()
    assert (first[~covered] == sprite.ground).all()
    for x, y in ((1, 0), (5, 9), (11, 11)):
        shift = (int(grid.centres[y] - grid.centres[0]), int(grid.centres[x] - grid.centres[0]))
        picture, _ = moved(SIZE, sprite, [(int(grid.centres[x]), int(grid.centres[y]))])
        assert np.array_equal(picture, np.roll(first, shift, (0, 1)))


@pytest.mark.parametrize("centre", [(0, 0), (64, 127), (-3, 200), (500, 64), (127, 5)])
def test_pasting_stops_at_the_border(centre):
    picture = solid(SIZE, GROUND)
    sprite = drawn(0, 0, SIZE)
    covered = paste(picture, sprite, centre)
    assert covered.sum() <= sprite.mask.sum()
    assert (picture[~covered] == GROUND).all()


@pytest.mark.parametrize(
    ("size", "side", "cells", "phases", "expected"),
    [
        (128, 26, 6, 4, (3, 4, 32)),  # as many cells as fit
        (550, 103, 6, 4, (6, 4, 64)),  # spread over the picture
        (550, 103, 2, 4, (2, 4, 416)),
        (64, 16, 6, 4, (2, 2, 32)),  # fewer phases, so that there are two cells
        (64, 32, 6, 8, (2, 1, 32)),
    ],
)
def test_the_grid(size, side, cells, phases, expected):
    grid = places(size, side, 32, cells, phases)
    line = grid.of_phase(0)
    assert (grid.cells, grid.phases, line[1] - line[0]) == expected
    assert set(np.diff(line)) == {expected[2]} and len(line) == grid.cells
    assert [one - line[0] for one in grid.of_phase(grid.phases - 1)] == [
        one - line[0] + (grid.phases - 1) * 32 // grid.phases for one in line
    ]
    assert min(grid.centres) - side // 2 >= 0 and max(grid.centres) + (side + 1) // 2 <= size


def test_a_picture_too_small_to_move_in_is_refused():
    with pytest.raises(UserError, match="image size 40: an object of 10 pixels cannot be moved"):
        places(40, 10, 32, 6, 4)


def test_the_pictures_of_figure_five():
    found = figure_five(SIZE, [drawn(label, label, SIZE) for label in range(4)], places(SIZE, 26, 32, 6, 4))
    assert list(found) == ["solid red", "at the left", "at the right", "two neighbours", "crowd of one class", "mixed crowd"]
    assert (found["solid red"] == SOLID["red"]).all()
    covered = {name: (picture != GROUND).any(axis=-1) for name, picture in found.items()}
    assert covered["two neighbours"].sum() >= 1.8 * covered["at the left"].sum()
    assert np.array_equal(np.roll(covered["at the left"], 64, axis=1), covered["at the right"])
    colours = [len(np.unique(found[name].reshape(-1, 3), axis=0)) for name in ("crowd of one class", "mixed crowd")]
    assert colours[1] > colours[0]
    assert all(picture.shape == (SIZE, SIZE, 3) and picture.dtype == np.uint8 for picture in found.values())
    assert torch.from_numpy(found["mixed crowd"]).float().std() > 10
