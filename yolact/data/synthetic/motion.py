"""Sequences of frames whose motion is known: shapes that move over a ground that stands still.

Sub-pixel motion that can be undone exactly: a frame has `FINE` times as many pixels a side as the picture it shows, and
everything moves by whole pixels of the frame. To the network, which looks at the frame at about the picture's size, the steps
are fractions of a pixel; to us, moving a mask back is moving it by whole pixels, with no interpolation and no rounding.
(H, W) is a frame; points and offsets are x, y, to the right and down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolact.data.synthetic.scenes import CLASSES, COLOURS, DARK_RIM, TEXTURES, eroded, ground, inside, outline, shades

FINE = 4
"""Pixels of a frame per pixel of the picture, along each axis."""
FASTEST = 6
"""Pixels of the frame that a shape moves per frame along each axis, at most: 1.5 of the picture's."""
MIN_IN_SIGHT = 0.5
"""An object counts as visible while at least this fraction of it is seen."""
_SEED = 8


@dataclass(frozen=True)
class Frame:
    """One frame, and what is known of it: n objects, of which some may be out of sight."""

    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    labels: NDArray[np.int64]
    """(n,) the same in every frame, as the order of the objects is."""
    masks: NDArray[np.bool_]
    """(n, H, W) what is seen of each object."""
    visible: NDArray[np.bool_]
    """(n,) at least `MIN_IN_SIGHT` of it is seen."""
    offsets: NDArray[np.int64] | None
    """(n + 1, 2) how far each object, and last the ground, has moved since the first frame, in pixels of the frame; None where
    nobody knows, as in a video."""


@dataclass(frozen=True)
class _Mover:
    """A shape as a patch that is pasted where it has moved to."""

    label: int
    mask: NDArray[np.bool_]  # (p, p)
    colours: NDArray[np.uint8]  # (p, p, 3)
    start: tuple[int, int]  # x, y of its centre in the first frame
    velocity: tuple[int, int]  # x, y per frame
    reach: int  # its centre turns back this far from the border


def moving_shapes(index: int, frames: int, size: int) -> Iterator[Frame]:
    """Sequence `index` of generated shapes: two to five, half of them twins of another, moving with constant velocities.

    A shape turns back where half of it would leave the picture. Shapes hide each other, the later ones those before.

    Args:
        size: side of the picture in pixels; frames are `FINE * size` pixels wide and high. At least 64.
    """
    random = np.random.RandomState([_SEED, index])
    still = _enlarged(ground(random, size))
    movers = _movers(random, size)
    labels = np.array([mover.label for mover in movers], np.int64)
    starts = np.array([mover.start for mover in movers])
    for number in range(frames):
        places = np.array([_place(mover, number, size * FINE) for mover in movers])
        image, masks = _paste(still, movers, places)
        seen = areas(masks) / np.array([np.count_nonzero(mover.mask) for mover in movers])
        offsets = np.concatenate([places - starts, [[0, 0]]])
        yield Frame(image, labels, masks, seen >= MIN_IN_SIGHT, offsets)


def areas(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n,) pixels of (n, H, W) masks; counted one by one, which is far faster than a sum over two axes."""
    return np.array([np.count_nonzero(mask) for mask in masks], np.int64)


def bounced(place: int, low: int, high: int) -> int:
    """Where something that went straight to `place` is if it turns back at `low` and `high`."""
    span = max(high - low, 1)
    return low + span - abs((place - low) % (2 * span) - span)


def drawn_velocity(random: np.random.RandomState, fastest: int) -> tuple[int, int]:
    """Whole pixels per frame along x and y, each in [-fastest, fastest], not both 0."""
    while True:
        x, y = random.randint(-fastest, fastest + 1, 2)
        if x or y:
            return int(x), int(y)


def _movers(random: np.random.RandomState, size: int) -> list[_Mover]:
    movers: list[_Mover] = []
    for _ in range(random.randint(2, 6)):
        twin = bool(movers) and random.randint(0, 2) == 0
        if not twin:
            label, colour = random.randint(0, len(CLASSES)), random.randint(0, len(COLOURS))
            texture, radius = TEXTURES[random.randint(0, len(TEXTURES))], random.randint(10, 31) * size // 128
        movers.append(_mover(random, size, label, colour, texture, radius))
    return movers


def _mover(random: np.random.RandomState, size: int, label: int, colour: int, texture: str, radius: int) -> _Mover:
    half = radius + 2
    points = outline(label, (half * FINE, half * FINE), radius * FINE, random.randint(0, 360))
    mask = inside(points, 2 * half * FINE)
    body = mask
    for _ in range(FINE):  # the rim is one pixel of the picture wide
        body = eroded(body)
    shade = np.where(mask & ~body, DARK_RIM, _enlarged(shades(random, texture, 2 * half)))
    colours = (np.array(COLOURS[colour], np.int64) * shade[..., None] // 256).astype(np.uint8)
    reach = radius * FINE // 2
    x, y = (int(c) for c in random.randint(reach, size * FINE - reach + 1, 2))
    return _Mover(label, mask, colours, (x, y), drawn_velocity(random, FASTEST), reach)


def _place(mover: _Mover, number: int, side: int) -> tuple[int, int]:
    """The centre in frame `number`, x, y."""
    x, y = (
        bounced(start + number * step, mover.reach, side - mover.reach)
        for start, step in zip(mover.start, mover.velocity, strict=True)
    )
    return x, y


def _paste(still: NDArray[np.uint8], movers: list[_Mover], places: NDArray[np.int64]):
    """The frame and (n, H, W) visible masks."""
    side = len(still)
    image, masks = still.copy(), np.zeros((len(movers), side, side), bool)
    for number, (mover, (x, y)) in enumerate(zip(movers, places, strict=True)):
        half = len(mover.mask) // 2
        rows, columns = slice(max(y - half, 0), min(y + half, side)), slice(max(x - half, 0), min(x + half, side))
        inner = slice(rows.start - y + half, rows.stop - y + half), slice(columns.start - x + half, columns.stop - x + half)
        seen = mover.mask[inner]
        image[rows, columns][seen] = mover.colours[inner][seen]
        masks[:number, rows, columns] &= ~seen
        masks[number, rows, columns] = seen
    return image, masks


def _enlarged(pixels: NDArray) -> NDArray:
    return pixels.repeat(FINE, 0).repeat(FINE, 1)
