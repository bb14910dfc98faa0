"""Which cells learn which object. Numbers in comments are sections of the fact sheets on SOLO and SOLOv2."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import slow_solo
from tests.support.networks import random_target
from yolact.config import CellMatchingConfig
from yolact.models.box_free.solo.targets import assign, claims, shrink
from yolact.ops.masks import centres_of_mass
from yolact.structures import Target

GRIDS = (40, 36, 24, 16, 12)
EVERY = CellMatchingConfig(grids=GRIDS, scale_ranges=((1, 2048),) * 5)
WIDE = EVERY.replace(scale_ranges=((1e-3, 2048),) * 5)
NARROW = CellMatchingConfig(grids=GRIDS, scale_ranges=((1, 16), (8, 32), (16, 64), (32, 128), (64, 2048)))
TOY = NARROW.replace(grids=(20, 18, 12, 8, 6))
SIDE = 128


def target(*boxes, labels=None, crowd=None, side=SIDE, empty=()):
    """Solid rectangles; those listed in `empty` have no mask."""
    masks = torch.zeros(len(boxes), side, side, dtype=torch.uint8)
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        if number not in empty:
            masks[number, y1:y2, x1:x2] = 1
    return Target(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(labels or [0] * len(boxes), dtype=torch.int64),
        masks,
        torch.tensor(crowd or [False] * len(boxes), dtype=torch.bool),
        image_id=0,
    )


OBJECT = (32, 48, 96, 80)


def places(cells, grids):
    """[(rows, columns)] of each level: first and last, of cells that fill a rectangle."""
    found, start = [], 0
    for side in grids:
        mine = [cell - start for cell in cells.tolist() if start <= cell < start + side * side]
        rows, columns = sorted({cell // side for cell in mine}), sorted({cell % side for cell in mine})
        assert len(mine) == len(rows) * len(columns)
        found.append(((rows[0], rows[-1]), (columns[0], columns[-1])) if mine else None)
        start += side * side
    return found


def test_the_worked_object():  # SOLO 10.1
    one = target(OBJECT)
    assert centres_of_mass(one.masks).tolist() == [[63.5, 63.5]]
    assert (one.boxes[0, 2:] - one.boxes[0, :2]).prod().sqrt().item() == pytest.approx(45.25, abs=5e-3)
    _, cells = claims(one.boxes, centres_of_mass(one.masks), EVERY, SIDE)
    assert places(cells, GRIDS) == [
        ((18, 20), (18, 20)),
        ((16, 18), (16, 18)),
        ((11, 12), (10, 12)),
        ((7, 8), (7, 8)),
        ((5, 6), (5, 6)),
    ]
    assert shrink(one.masks, (32, 32)).sum() == 128


def test_the_worked_object_is_learned_on_two_levels():  # SOLO 10.2
    made = assign([target(OBJECT)], NARROW, "last", SIDE)
    assert made.counts == {"positives": 10, "masks": 10, "images": 1}
    assert places(made.cell, GRIDS) == [None, None, ((11, 12), (10, 12)), ((7, 8), (7, 8)), None]
    toy = assign([target(OBJECT)], TOY, "last", SIDE)  # 11
    assert places(toy.cell, TOY.grids) == [None, None, ((5, 6), (5, 6)), ((3, 4), (3, 4)), None]


def test_ends_of_ranges_count():  # SOLO 10.3
    ranges = ((1, 96), (48, 192), (96, 384), (192, 768), (384, 2048))
    config = CellMatchingConfig(grids=GRIDS, scale_ranges=ranges)
    square = target((10, 20, 106, 116), side=256)
    made = assign([square], config, "last", 256)
    assert [each is not None for each in places(made.cell, GRIDS)] == [True, True, True, False, False]


def test_objects_in_corners_stay_in_the_grid():  # SOLO 10.3
    corners = [(0, 0, 20, 20), (108, 0, 128, 20), (0, 108, 20, 128), (108, 108, 128, 128), (127, 127, 128, 128)]
    for box in corners:
        objects, cells = claims(target(box).boxes, centres_of_mass(target(box).masks), EVERY, SIDE)
        assert len(objects) >= 5 and all(place is not None for place in places(cells, GRIDS))
    beyond = claims(torch.tensor([[0.0, 0.0, 20.0, 20.0]]), torch.tensor([[127.0, 127.0]]), EVERY, SIDE)
    assert [(rows[1], columns[1]) for rows, columns in places(beyond[1], GRIDS)] == [(n - 1, n - 1) for n in GRIDS]


def test_a_whole_number_of_cells_is_not_rounded_down():  # SOLO 3.5
    """A centre at 64 of 128 lies at the beginning of cell 20 of 40."""
    _, cells = claims(torch.tensor([[63.9, 63.9, 64.1, 64.1]]), torch.tensor([[64.0, 64.0]]), WIDE, SIDE)
    assert places(cells, GRIDS)[0] == ((19, 20), (19, 20))
    _, cells = claims(torch.tensor([[64.0, 64.0, 64.2, 64.2]]), torch.tensor([[64.1, 64.1]]), WIDE, SIDE)
    assert places(cells, GRIDS)[0] == ((20, 20), (20, 20))


def test_moving_by_a_cell_moves_the_cells_by_one():  # SOLO 10.7
    config = EVERY.replace(grids=(32, 32, 16, 8, 4))  # cells of 4, 4, 8, 16 and 32 pixels
    made = (assign([target(box)], config, "last", SIDE) for box in (OBJECT, (64, 80, 128, 112)))
    before, after = (places(each.cell, config.grids) for each in made)
    for cell, (rows, columns), (rows_after, columns_after) in zip((4, 4, 8, 16, 32), before, after, strict=True):
        assert [row + 32 // cell for row in rows] == list(rows_after)
        assert [column + 32 // cell for column in columns] == list(columns_after)


def test_two_equal_boxes_share_their_cells():  # SOLOv2 4.2
    equal = target(OBJECT, OBJECT, labels=[1, 2])
    every = assign([equal], EVERY, "all", SIDE)
    last = assign([equal], EVERY, "last", SIDE)
    assert every.counts == {"positives": 32, "masks": 64, "images": 1}
    assert last.counts == {"positives": 32, "masks": 32, "images": 1}
    assert torch.equal(every.classes, last.classes) and set(every.classes.unique().tolist()) == {0, 3}
    assert set(last.objects.tolist()) == {1} and every.objects.bincount().tolist() == [32, 32]


def test_order_matters_in_shared_cells_alone():  # SOLO 10.7
    boxes, labels = [(4, 4, 34, 34), (90, 90, 124, 124), (88, 88, 124, 124)], [0, 1, 2]
    config = EVERY
    made = assign([target(*boxes, labels=labels)], config, "last", SIDE)
    apart = assign([target(*[boxes[i] for i in (1, 2, 0)], labels=[1, 2, 0])], config, "last", SIDE)
    swapped = assign([target(*[boxes[i] for i in (0, 2, 1)], labels=[0, 2, 1])], config, "last", SIDE)
    assert torch.equal(made.classes, apart.classes)
    assert not torch.equal(made.classes, swapped.classes)


def test_crowds_and_empty_masks_are_background():  # SOLO 3.2
    boxes = [OBJECT, (0, 0, 40, 40), (80, 80, 120, 120)]
    made = assign([target(*boxes, crowd=[False, True, False], empty=(2,)), target()], EVERY, "all", SIDE)
    alone = assign([target(OBJECT), target()], EVERY, "all", SIDE)
    assert torch.equal(made.classes, alone.classes) and made.classes.min() == 0
    assert torch.equal(made.cell, alone.cell) and len(made.masks) == 1
    nothing = assign([target((0, 0, 40, 40), crowd=[True]), target(OBJECT, empty=(0,)), target()], EVERY, "all", SIDE)
    assert nothing.counts == {"positives": 0, "masks": 0, "images": 3} and not nothing.classes.any()
    assert list(nothing.parts((0, 1600, 2896, 3472, 3728, 3872))) == []


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([64, 96]), st.sampled_from(["last", "all"]))
def test_as_the_slow_path(seed, side, shared):
    config = CellMatchingConfig(grids=(10, 9, 6, 4, 3), scale_ranges=((1, 24), (12, 40), (16, 48), (24, 96), (1, 2048)))
    generator = torch.Generator().manual_seed(seed)
    image = random_target(generator, n=4, crowds=1, size=side)
    real = [image.boxes[:4].tolist(), image.masks[:4].tolist()]
    expected = slow_solo.claims(side, config.grids, config.scale_ranges, *real)
    starts = [0, 100, 181, 217, 233, 242]
    pairs = [(number, starts[level] + row * config.grids[level] + column) for number, level, row, column in expected]
    owner = dict(sorted((cell, number) for number, cell in pairs))  # the last object of a cell comes last
    made = assign([image], config, shared, side)
    classes = [0] * starts[-1]
    for cell, number in owner.items():
        classes[cell] = int(image.labels[number]) + 1
    assert made.classes[0].tolist() == classes
    found = list(zip(made.objects.tolist(), made.cell.tolist(), strict=True))
    wanted = pairs if shared == "all" else [(number, cell) for cell, number in owner.items()]
    assert sorted(found) == sorted(wanted)
    parts = [(level, cell.tolist(), objects.tolist()) for _, level, cell, objects in made.parts(starts)]
    assert [cell for _, cells, _ in parts for cell in cells] == made.cell.tolist()
    assert all(starts[level] <= cell < starts[level + 1] for level, cells, _ in parts for cell in cells)


@pytest.mark.parametrize("factor", [4, 8, 16])
def test_targets_are_set_where_half_of_the_middle_is(factor):  # SOLO 3.7
    masks = (torch.rand(2, 64, 64, generator=torch.Generator().manual_seed(0)) < 0.5).to(torch.uint8)
    expected = [slow_solo.shrink(mask.tolist(), factor) for mask in masks]
    assert torch.equal(shrink(masks, (64 // factor, 64 // factor)), torch.tensor(expected))
