"""Overlays: which pixels change, and to what."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from yolact.inference.drawing import MASK_ALPHA, PALETTE, draw
from yolact.structures import Detections

HEIGHT, WIDTH = 60, 80


def detections(*boxes):
    masks = torch.zeros(len(boxes), HEIGHT, WIDTH, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = True
    return Detections(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.linspace(0.9, 0.5, len(boxes)),
        labels=torch.zeros(len(boxes), dtype=torch.int64),
        masks=masks,
    )


def drawn(*boxes, grey=100):
    image = np.full((HEIGHT, WIDTH, 3), grey, np.uint8)
    picture = draw(image, detections(*boxes), ["nucleus"])
    assert (image == grey).all()
    assert isinstance(picture, Image.Image) and picture.size == (WIDTH, HEIGHT)
    return np.asarray(picture)


def blend(*colours, grey=100):
    """Grey with colours laid over it, the last on top."""
    pixel = np.full(3, grey, np.float64)
    for colour in colours:
        pixel += MASK_ALPHA * (np.array(colour) - pixel)
    return pixel.round().tolist()


def test_no_detections_leave_the_image_as_it_is():
    assert (drawn() == 100).all()


def test_a_mask_is_blended_and_its_box_framed():
    picture = drawn((10, 30, 40, 55))
    assert picture[45, 25].tolist() == blend(PALETTE[0])
    assert picture[54, 39].tolist() == list(PALETTE[0])
    assert (picture[56:, 45:] == 100).all()


def test_the_better_detection_lies_on_top_and_lets_the_other_through():
    picture = drawn((5, 30, 50, 55), (20, 32, 75, 57))
    assert picture[45, 35].tolist() == blend(PALETTE[1], PALETTE[0])
    assert picture[45, 65].tolist() == blend(PALETTE[1])


def test_boxes_at_the_border_and_without_area_are_drawn():
    assert (drawn((0, 0, WIDTH, HEIGHT))[0, 0] == PALETTE[0]).all()
    drawn((80, 60, 80, 60), (0, 0, 0, 0))


def test_colours_start_again_after_the_last():
    boxes = [(2, 30, 6, 34)] * len(PALETTE) + [(60, 40, 79, 59)]
    assert drawn(*boxes)[50, 70].tolist() == blend(PALETTE[0])


@pytest.mark.parametrize("seed", range(5))
def test_masks_of_any_shape_are_blended_as_the_definition_says(seed):
    """Empty, scattered and full masks, bit by bit: the definition looks at whole masks, `draw` at their extents."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    masks = rng.random((6, HEIGHT, WIDTH)) < np.array([0, 0.001, 0.1, 0.9, 1, 0]).reshape(-1, 1, 1)
    masks[5, 20:30, 50:] = True
    found = detections(*[(0, 0, 0, 0)] * 6)
    boxes_alone = np.asarray(draw(image, replace(found, masks=None), ["nucleus"]))
    expected = image.astype(np.float32)
    for place in reversed(range(6)):
        inside = masks[place]
        expected[inside] += MASK_ALPHA * (np.array(PALETTE[place], np.float32) - expected[inside])
    picture = np.asarray(draw(image, replace(found, masks=torch.from_numpy(masks)), ["nucleus"]))
    untouched = (boxes_alone == image).all(axis=2)
    assert untouched.mean() > 0.5 and (picture[untouched] == expected.round().astype(np.uint8)[untouched]).all()
