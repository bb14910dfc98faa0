"""Draws the pictures of `shapes`: what stands where, who hides whom, in which colour and texture.

Everything is computed from a frozen random stream (numpy's RandomState) in integers, so every machine draws the same bytes.
Outlines are rasterised here, at pixel centres, because drawing libraries change theirs between versions.
(S, S) is the picture; masks are (S, S) bool; points are integers in 1/16 pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

CLASSES = ("circle", "square", "triangle", "star")
COLOURS = ((230, 60, 50), (60, 200, 80), (70, 120, 250), (240, 200, 50), (220, 90, 220), (60, 210, 220))
TEXTURES = ("solid", "stripes", "dots", "noise")
MIN_VISIBLE = 0.3
"""A shape is not placed where it would leave less than this fraction of another one, or of itself, in sight."""
MIN_PIXELS = 24
"""Smallest shape, in pixels inside the picture."""
_FINE = 16
_TRIES = 12
DARK_RIM = 110
"""Brightness of a shape's outermost pixels out of 256: without it, twins of one colour would melt into one."""


@dataclass
class Shape:
    """An instance, or a crowd of small ones."""

    label: int
    colour: int
    mask: np.ndarray
    """The visible part."""
    pixels: int
    """Of the whole shape, hidden part included."""
    crowd: bool = False


class Scene:
    """One picture while it is drawn."""

    def __init__(self, random: np.random.RandomState, size: int) -> None:
        self.random = random
        self.size = size
        self.image = ground(random, size)
        self.shapes: list[Shape] = []

    def add(self, label: int, colour: int, texture: str, centre: tuple[int, int], radius: int, crowd: bool = False) -> bool:
        """Draw a shape over what is there, unless too little of it or of another would be seen. Whether it was drawn."""
        angle = self.random.randint(0, 360) if radius * 8 < self.size * 3 else 0
        whole = inside(outline(label, centre, radius, angle), self.size)
        pixels = int(whole.sum())
        if pixels < MIN_PIXELS or any((shape.mask & ~whole).sum() < MIN_VISIBLE * shape.pixels for shape in self.shapes):
            return False
        for shape in self.shapes:
            shape.mask = shape.mask & ~whole
        self._paint(whole, COLOURS[colour], texture)
        self.shapes.append(Shape(label, colour, whole, pixels, crowd))
        return True

    def merge_crowd(self, count: int) -> None:
        """Make one crowd region of the last `count` shapes."""
        members = self.shapes[-count:]
        union = np.logical_or.reduce([shape.mask for shape in members])
        self.shapes[-count:] = [Shape(members[0].label, members[0].colour, union, int(union.sum()), crowd=True)]

    def _paint(self, mask: np.ndarray, colour: tuple[int, int, int], texture: str) -> None:
        shade = shades(self.random, texture, self.size)
        shade = np.where(mask & ~eroded(mask), DARK_RIM, shade)
        painted = np.array(colour, np.int64) * shade[..., None] // 256
        self.image[mask] = painted[mask].astype(np.uint8)


def draw_scene(random: np.random.RandomState, size: int) -> Scene:
    """A random picture: empty ground (4 %), or one to seven shapes, most of them in groups of one class and colour."""
    scene = Scene(random, size)
    kind = random.randint(0, 100)
    if kind < 4:
        return scene
    if kind < 8:
        _add_large(scene)
    elif kind < 12:
        _add_crowd(scene)
    wanted = random.randint(1, 8) - len(scene.shapes[:1])
    while wanted > 0:
        group = min(wanted, (1, 2, 2, 3, 3)[random.randint(0, 5)])
        _add_group(scene, group)
        wanted -= group
    return scene


def outline(label: int, centre: tuple[int, int], radius: int, angle: int) -> np.ndarray:
    """The corners of a shape as an (m, 2) int64 array of x, y in 1/16 pixel; angle in degrees."""
    corners = {"circle": 48, "square": 4, "triangle": 3, "star": 10}[CLASSES[label]]
    points = []
    for corner in range(corners):
        reach = radius * _FINE * (45 if CLASSES[label] == "star" and corner % 2 else 100) / 100
        turn = math.radians(angle + 360 * corner / corners + 45)
        points.append((round(centre[0] * _FINE + reach * math.cos(turn)), round(centre[1] * _FINE + reach * math.sin(turn))))
    return np.array(points, np.int64)


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2 of a mask that is not empty, in pixel edges."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def touches_twin(shape: Shape, others: list[Shape]) -> bool:
    """Whether a shape of the same class and colour overlaps it: boxes by an IoU above 0.05, visible parts side by side."""
    return any(
        other is not shape
        and (other.label, other.colour, other.crowd) == (shape.label, shape.colour, False)
        and _box_iou(box_of(shape.mask), box_of(other.mask)) > 0.05
        and bool((_grown(shape.mask) & other.mask).any())
        for other in others
    )


def _add_group(scene: Scene, count: int) -> None:
    """Up to `count` shapes of one class and colour, each overlapping the one before."""
    random, size = scene.random, scene.size
    label, colour = random.randint(0, len(CLASSES)), random.randint(0, len(COLOURS))
    texture = TEXTURES[random.randint(0, len(TEXTURES))]
    radius = random.randint(10, 31) * size // 128
    for _ in range(_TRIES):
        centre = tuple(random.randint(radius // 2, size - radius // 2, 2))
        if scene.add(label, colour, texture, centre, radius):
            break
    else:
        return
    for _ in range(count - 1):
        for _ in range(_TRIES):
            near = radius * random.randint(80, 121) // 100
            step, turn = (radius + near) * random.randint(55, 75) / 100, math.radians(random.randint(0, 360))
            beside = round(centre[0] + step * math.cos(turn)), round(centre[1] + step * math.sin(turn))
            within = all(near // 2 <= c < size - near // 2 for c in beside)
            if within and scene.add(label, colour, texture, beside, near):
                centre, radius = beside, near
                break


def _add_large(scene: Scene) -> None:
    """A circle or square whose area is above 96 squared in a picture of 128."""
    label = scene.random.randint(0, 2)
    radius = (scene.random.randint(60, 64) if label == 0 else scene.random.randint(76, 84)) * scene.size // 128
    colour, texture = scene.random.randint(0, len(COLOURS)), TEXTURES[scene.random.randint(0, len(TEXTURES))]
    scene.add(label, colour, texture, tuple(scene.size // 2 + scene.random.randint(-3, 4, 2)), radius)


def _add_crowd(scene: Scene) -> None:
    """A bunch of small shapes of one class that is annotated as one crowd region."""
    random, size = scene.random, scene.size
    label, colour = random.randint(0, len(CLASSES)), random.randint(0, len(COLOURS))
    left, top = random.randint(0, size * 5 // 8, 2)
    added = 0
    for row in range(3):
        for column in range(4):
            x, y = (left + (12 * column + 6 + random.randint(-2, 3)) * size // 128, top + (12 * row + 6) * size // 128)
            added += scene.add(label, colour, "solid", (x, y), 6 * size // 128)
    if added:
        scene.merge_crowd(added)


def ground(random: np.random.RandomState, size: int) -> np.ndarray:
    """(S, S, 3) uint8: dark, hardly coloured, with a slope, bands or blotches, and noise."""
    rows, columns = np.mgrid[0:size, 0:size]
    a, b = random.randint(-20, 21, 2)
    shade = 60 + (a * rows + b * columns) // size
    kind, period = random.randint(0, 3), random.randint(8, 25)
    if kind == 1:
        shade = shade + 12 * ((rows * random.randint(0, 3) + columns * random.randint(0, 3)) // period % 2)
    elif kind == 2:
        blotches = random.randint(-12, 13, (size // 8 + 1, size // 8 + 1))
        shade = shade + blotches[rows // 8, columns // 8]
    tint = random.randint(-12, 13, 3)
    noise = random.randint(-8, 9, (size, size))
    return np.clip((shade + noise)[..., None] + tint, 0, 255).astype(np.uint8)


def shades(random: np.random.RandomState, texture: str, size: int) -> np.ndarray:
    """(S, S) int64 brightness, 256 = the colour itself."""
    rows, columns = np.mgrid[0:size, 0:size]
    if texture == "stripes":
        a, b = ((1, 0), (0, 1), (1, 1), (1, -1))[random.randint(0, 4)]
        return np.where((a * rows + b * columns) // random.randint(3, 6) % 2, 256, 190)
    if texture == "dots":
        return np.where((rows % 6 < 2) & (columns % 6 < 2), 170, 256)
    if texture == "noise":
        return 256 - random.randint(0, 80, (size, size))
    return np.full((size, size), 250)


def inside(points: np.ndarray, size: int) -> np.ndarray:
    """Pixels whose centre lies inside a polygon, by the even-odd rule in exact integers."""
    mask = np.zeros((size, size), bool)
    low = np.clip(points.min(0) // _FINE, 0, size)
    high = np.clip(points.max(0) // _FINE + 1, 0, size)
    x = np.arange(low[0], high[0])[None, :, None] * _FINE + _FINE // 2
    y = np.arange(low[1], high[1])[:, None, None] * _FINE + _FINE // 2
    (x1, y1), (x2, y2) = points.T, np.roll(points, -1, 0).T
    between = (y1 <= y) != (y2 <= y)
    left_of = np.where(y2 > y1, 1, -1) * ((x2 - x1) * (y - y1) - (x - x1) * (y2 - y1)) > 0
    mask[low[1] : high[1], low[0] : high[0]] = (between & left_of).sum(-1) % 2 == 1
    return mask


def eroded(mask: np.ndarray) -> np.ndarray:
    """A mask without the pixels that have a side in common with its outside; the picture's border does not count."""
    return ~_grown(~mask)


def _grown(mask: np.ndarray) -> np.ndarray:
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown


def _box_iou(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)
