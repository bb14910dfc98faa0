"""Objects that can be put anywhere: drawn as those of `shapes` are, or cut from what is annotated in other data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from yolact.data.coco import CocoSplit
from yolact.data.synthetic.scenes import CLASSES, COLOURS, Scene, box_of
from yolact.errors import UserError

SIDE = 3 / 16
"""Longest side of a sprite as a fraction of the picture's side, as near as the data come to it."""
LARGEST = 1 / 4
"""A sprite with a longer side is made smaller, to SIDE: else it could not be moved."""
SMALLEST = 6
"""Pixels: objects with a shorter side are not cut."""
SEARCHED = 100
"""Images that objects are cut from, in the order of their ids."""
GROUND = (60, 60, 60)
"""Mean colour of the ground in `shapes`."""


@dataclass(frozen=True)
class Sprite:
    """An object and the colour of the ground it stood on."""

    pixels: NDArray[np.uint8]
    """(a, b, 3) RGB; what lies outside the mask counts for nothing."""
    mask: NDArray[np.bool_]
    """(a, b); every border row and column holds a pixel of it."""
    label: int
    ground: tuple[int, int, int]
    """RGB."""

    @property
    def side(self) -> int:
        """The longer side in pixels."""
        return max(self.mask.shape)


def sprites(split: CocoSplit, size: int, count: int) -> tuple[list[Sprite], str]:
    """At most `count` objects for pictures of (size, size), and where they come from: "drawn" or "cut".

    Raises:
        UserError: no object of the split can be cut.
    """
    if tuple(split.class_names) == CLASSES:
        return [drawn(label % len(CLASSES), label % len(COLOURS), size) for label in range(count)], "drawn"
    return cut(split, size, count), "cut"


def drawn(label: int, colour: int, size: int) -> Sprite:
    """A shape of the generated data set in one of its colours, solid, SIDE of a picture of (size, size)."""
    scene = Scene(np.random.RandomState(label), size)
    scene.add(label, colour, "solid", (size // 2, size // 2), max(4, round(SIDE * size / 2)))
    if not scene.shapes:
        raise UserError(f"image size {size}: too small to draw shapes in; probes need pictures of at least 64 pixels")
    return _lifted(scene.image, scene.shapes[0].mask, label, GROUND)


def cut(split: CocoSplit, size: int, count: int) -> list[Sprite]:
    """Annotated objects in the frame of the network's input, whole ones with sides near SIDE first, classes in turn.

    The first SEARCHED images with annotations are looked through. The ground is the mean colour of the image outside its
    objects.

    Raises:
        UserError: none of them holds an object of at least SMALLEST pixels.
    """
    found = sorted(_candidates(split, size), key=lambda one: one[:2])
    rank: dict[int, int] = {}
    in_turn = []
    for place, (_, _, label, image_id, index) in enumerate(found):
        rank[label] = rank.get(label, -1) + 1
        in_turn.append((rank[label], place, image_id, index))
    lifted = (_cut(split, size, image_id, index) for _, _, image_id, index in sorted(in_turn))
    chosen = list(islice((sprite for sprite in lifted if sprite is not None), count))
    if not chosen:
        raise UserError(
            f"no image among the first {SEARCHED} has an annotated object of at least {SMALLEST} pixels at the network's "
            f"image size {size}, so there is nothing to make probes of; measure on another split"
        )
    return chosen


def paste(picture: NDArray[np.uint8], sprite: Sprite, centre: tuple[int, int]) -> NDArray[np.bool_]:
    """Draw a sprite into an (S, S, 3) picture, in place, cut at its borders; the middle of its box comes to `centre` (x, y).

    Returns:
        (S, S) what of the picture it covers.
    """
    size = len(picture)
    a, b = sprite.mask.shape
    left, top = centre[0] - b // 2, centre[1] - a // 2
    covered = np.zeros((size, size), bool)
    rows = slice(max(0, -top), max(0, min(a, size - top)))
    columns = slice(max(0, -left), max(0, min(b, size - left)))
    inside = sprite.mask[rows, columns]
    where = (
        slice(top + rows.start, top + rows.start + inside.shape[0]),
        slice(left + columns.start, left + columns.start + inside.shape[1]),
    )
    covered[where] = inside
    picture[covered] = sprite.pixels[rows, columns][inside]
    return covered


def _candidates(split: CocoSplit, size: int) -> Iterator[tuple[bool, float, int, int, int]]:
    """(touches the image's border, distance from SIDE in pixels, label, image id, index) of each object worth cutting."""
    annotated = [image_id for image_id in split.image_ids if split.count(image_id)]
    for image_id in annotated[:SEARCHED]:
        truth = split.instances(image_id)
        height, width = split.size(image_id)
        boxes = truth.boxes.numpy()
        for index in range(len(truth)):
            x1, y1, x2, y2 = boxes[index]
            sides = (x2 - x1) * size / width, (y2 - y1) * size / height
            if truth.crowd[index] or min(sides) < SMALLEST:
                continue
            touches = bool(x1 < 1 or y1 < 1 or x2 > width - 1 or y2 > height - 1)
            yield touches, abs(float(max(sides)) - SIDE * size), int(truth.labels[index]), image_id, index


def _cut(split: CocoSplit, size: int, image_id: int, index: int) -> Sprite | None:
    """None where nothing of a thin object is left at the network's input size."""
    truth = split.instances(image_id)
    picture = _fitted(split.image(image_id).numpy(), (size, size))
    masks = _fitted(truth.masks.numpy() * 255, (size, size)) > 127
    if not masks[index].any():
        return None
    outside = ~masks.any(axis=0)
    ground = (picture[:, outside] if outside.any() else picture.reshape(3, -1)).mean(axis=1)
    red, green, blue = (round(float(value)) for value in ground)
    sprite = _lifted(picture.transpose(1, 2, 0), masks[index], int(truth.labels[index]), (red, green, blue))
    return sprite if sprite.side <= LARGEST * size else _smaller(sprite, round(SIDE * size))


def _lifted(picture: NDArray[np.uint8], mask: NDArray[np.bool_], label: int, ground: tuple[int, int, int]) -> Sprite:
    x1, y1, x2, y2 = box_of(mask)
    return Sprite(picture[y1:y2, x1:x2].copy(), mask[y1:y2, x1:x2].copy(), label, ground)


def _smaller(sprite: Sprite, side: int) -> Sprite:
    a, b = (max(1, round(one * side / sprite.side)) for one in sprite.mask.shape)
    pixels = _fitted(sprite.pixels.transpose(2, 0, 1), (a, b)).transpose(1, 2, 0)
    mask = _fitted(sprite.mask[None].astype(np.uint8) * 255, (a, b))[0] > 127
    return _lifted(pixels, mask, sprite.label, sprite.ground)


def _fitted(maps: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(n, H, W) squashed to `size`, as the network squashes what it is given."""
    fitted = F.interpolate(torch.from_numpy(maps)[None].float(), size=size, mode="bilinear", align_corners=False)[0]
    return fitted.round().to(torch.uint8).numpy()
