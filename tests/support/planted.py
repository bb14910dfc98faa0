"""Prototypes, ground truth and coefficients whose structure is known, drawn at random: what a measure must find again.

Shapes: k prototypes, n instances of an image, (h, w) the prototypes, here h = w = `size`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

LEFT_RIGHT, TOP_BOTTOM = "x", "y"
CLASSES = 3
NOISE = 0.12
"""Standard deviation of the noise on every structured prototype, as a fraction of its amplitude."""
JITTER = 0.05
"""Standard deviation of the noise on every coefficient."""
ROSTER = ("partition", "partition objects", "localising", "contour", "directional", "position-sensitive", "background",
          "constant", "dead", "rough noise", "smooth noise")  # fmt: skip
KIND = {"partition objects": "partition", "dead": "constant", "rough noise": "none", "smooth noise": "none"}
"""The kind of a roster entry that isn't called by it."""
WEIGHT = {"localising": 0.8, "background": -0.6, "contour": -0.3}
"""Mean coefficient of the kinds that every mask uses alike. Partitions take 0.5 on the object's side, -0.5 on the other."""


@dataclass(frozen=True)
class Boundary:
    """Where a planted partition lies."""

    axis: str
    """LEFT_RIGHT or TOP_BOTTOM."""
    at: float
    """Fraction of the side, from the left or the top."""
    active_before: bool
    """Whether the left (or upper) side is the active one."""


@dataclass(frozen=True)
class Objects:
    """Ground truth of one image at the prototypes' resolution; the fields are those of `yolact.data.coco.Instances`."""

    boxes: Tensor
    """(n, 4) float32 xyxy in prototype pixels."""
    labels: Tensor
    """(n,) int64 in [0, CLASSES)."""
    masks: Tensor
    """(n, h, w) uint8, 0 or 1; they don't overlap."""
    crowd: Tensor
    """(n,) bool: none is."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Planted:
    """A made-up model's prototypes over some images."""

    images: list[Tensor]
    """Per image (3, 4h, 4w) uint8: coloured objects on a dim, rough ground."""
    prototypes: list[Tensor]
    """Per image (k, h, w) float32, at least 0."""
    instances: list[Objects]
    """Per image 1 to 5."""
    coefficients: list[Tensor]
    """Per image (n, k) float32 in (-1, 1): one detection per instance, in the same order."""
    kinds: list[str]
    """Of each prototype; a duplicate has the kind of what it repeats."""
    duplicates: dict[int, int]
    """{prototype: the one that it repeats with some noise}."""
    boundaries: dict[int, Boundary]
    """{prototype: its boundary} of the partitions, duplicates included."""
    signs: list[int | None]
    """Of each prototype's coefficients: 1 always added, -1 always subtracted, 0 never used (noise of JITTER), None both."""


def planted(seed: int, images: int = 60, size: int = 32) -> Planted:
    """One random draw: every entry of ROSTER once and one noisy duplicate, in random order, with random strengths."""
    random = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(ROSTER) + 1, generator=random).tolist()
    repeated = int(torch.randint(0, 7, (), generator=random))  # of the structured ones alone
    names = [ROSTER[i] if i < len(ROSTER) else ROSTER[repeated] for i in order]
    duplicate, original = order.index(len(ROSTER)), order.index(repeated)
    boundaries = {i: _boundary(random) for i, name in enumerate(names) if name.startswith("partition") and i != duplicate}
    if original in boundaries:
        boundaries[duplicate] = boundaries[original]
    angle, place = torch.rand((), generator=random) * 2 * torch.pi, 0.2 + 0.6 * torch.rand(2, generator=random)
    strengths = 0.5 + 4 * torch.rand(len(names), generator=random)
    pixels, maps, truths, weights = [], [], [], []
    for _ in range(images):
        truth = _instances(size, random)
        drawn = [_draw(name, truth, boundaries.get(i), angle, place, size, random) for i, name in enumerate(names)]
        drawn[duplicate] = drawn[original]
        made = torch.stack(drawn)
        noise = NOISE * torch.tensor([0.0 if name == "dead" else 1.0 for name in names])
        noise[names.index("constant")] = 0.01
        made = made + noise[:, None, None] * torch.randn(made.shape, generator=random)
        maps.append((made * strengths[:, None, None]).clamp(min=0))
        truths.append(truth)
        pixels.append(_pixels(truth, size, random))
        weights.append(_coefficients(names, boundaries, duplicate, truth, size, random))
    return Planted(pixels, maps, truths, weights, [KIND.get(name, name) for name in names], {duplicate: original}, boundaries,
                   [0 if i == duplicate else _sign(name) for i, name in enumerate(names)])  # fmt: skip


def shuffled(model: Planted, seed: int = 0) -> Planted:
    """The same prototypes with each image's pixels in an order of its own: nothing is left but the values."""
    random = torch.Generator().manual_seed(seed)
    maps = []
    for made in model.prototypes:
        order = torch.randperm(made[0].numel(), generator=random)
        maps.append(made.flatten(1)[:, order].reshape(made.shape))
    return Planted(model.images, maps, model.instances, model.coefficients, ["constant" if kind == "constant" else "none"
                   for kind in model.kinds], model.duplicates, {}, model.signs)  # fmt: skip


def _boundary(random: torch.Generator) -> Boundary:
    axis, side, at = torch.rand(3, generator=random).tolist()
    return Boundary(LEFT_RIGHT if axis < 0.5 else TOP_BOTTOM, 0.3 + 0.4 * at, side < 0.5)


def _grid(size: int) -> tuple[Tensor, Tensor]:
    """(1, size) x and (size, 1) y of pixel centres, as fractions of the side."""
    centres = (torch.arange(size) + 0.5) / size
    return centres[None, :], centres[:, None]


def _instances(size: int, random: torch.Generator) -> Objects:
    """Ellipses and boxes anywhere in the image; where two meet, the later one hides the earlier."""
    x, y = _grid(size)
    labels = torch.full((size, size), -1)
    for number in range(int(torch.randint(2, 6, (), generator=random))):
        cx, cy, rx, ry, form = torch.rand(5, generator=random).tolist()
        u, v = (x - 0.1 - 0.8 * cx) / (0.1 + 0.12 * rx), (y - 0.1 - 0.8 * cy) / (0.1 + 0.12 * ry)
        labels[(u**2 + v**2 <= 1) if form < 0.5 else (u.abs() <= 0.9) & (v.abs() <= 0.9)] = number
    masks = torch.stack([labels == number for number in labels.unique().tolist() if number >= 0])
    return Objects(
        boxes=torch.stack([_box(mask) for mask in masks]),
        labels=torch.randint(0, CLASSES, (len(masks),), generator=random),
        masks=masks.to(torch.uint8),
        crowd=torch.zeros(len(masks), dtype=torch.bool),
    )


def _box(mask: Tensor) -> Tensor:
    rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
    return torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()


def _draw(
    name: str, truth: Objects, boundary: Boundary | None, angle: Tensor, place: Tensor, size: int, random: torch.Generator
) -> Tensor:
    """(size, size) of about 0 to 1, without the noise that is put on all."""
    x, y = _grid(size)
    inside = truth.masks.amax(0).float()
    if boundary is not None:
        along = x if boundary.axis == LEFT_RIGHT else y
        side = ((along < boundary.at) == boundary.active_before).float().expand(size, size)
        return side * inside if name == "partition objects" else side
    match name:
        case "localising":
            return inside
        case "background":
            return 1 - inside
        case "contour":
            return _contours(truth)
        case "directional":
            return _one_side_of_each(truth, angle, x, y)
        case "position-sensitive":
            return torch.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * 0.15**2))
        case "constant":
            return torch.ones(size, size)
        case "rough noise":
            return torch.randn(size, size, generator=random).abs()
        case "smooth noise":
            coarse = torch.randn(1, 1, 6, 6, generator=random)
            return F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)[0, 0].clamp(min=0)
    return torch.zeros(size, size)  # dead


def _contours(truth: Objects) -> Tensor:
    """1 within a pixel of the border of any instance."""
    masks = truth.masks.float()[None]
    grown, shrunk = F.max_pool2d(masks, 3, 1, 1), -F.max_pool2d(-masks, 3, 1, 1)
    return (grown - shrunk)[0].amax(0)


def _one_side_of_each(truth: Objects, angle: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """From each instance's middle to its border on one side, rising."""
    made = torch.zeros_like(truth.masks[0], dtype=torch.float32)
    for mask, box in zip(truth.masks.bool(), truth.boxes / len(truth.masks[0]), strict=True):
        u, v = (2 * x - box[0] - box[2]) / (box[2] - box[0]), (2 * y - box[1] - box[3]) / (box[3] - box[1])
        made[mask] = (u * angle.cos() + v * angle.sin()).clamp(min=0)[mask]
    return made


def _pixels(truth: Objects, size: int, random: torch.Generator) -> Tensor:
    image = torch.randint(20, 70, (3, size, size), generator=random, dtype=torch.uint8)
    for mask in truth.masks.bool():
        image[:, mask] = torch.randint(60, 256, (3, 1), generator=random, dtype=torch.uint8)
    return image.repeat_interleave(4, 1).repeat_interleave(4, 2)


def _sign(name: str) -> int | None:
    if name.startswith("partition"):
        return None
    return (WEIGHT.get(name, 0) > 0) - (WEIGHT.get(name, 0) < 0)


def _coefficients(
    names: list[str], boundaries: dict[int, Boundary], duplicate: int, truth: Objects, size: int, random: torch.Generator
) -> Tensor:
    """(n, k)"""
    mean = torch.tensor([WEIGHT.get(name, 0.0) for name in names]).repeat(len(truth), 1)
    centres = (truth.boxes[:, :2] + truth.boxes[:, 2:]) / 2 / size
    for i, boundary in boundaries.items():
        along = centres[:, 0 if boundary.axis == LEFT_RIGHT else 1]
        mean[:, i] = torch.where((along < boundary.at) == boundary.active_before, 0.5, -0.5)
    mean[:, duplicate] = 0.0
    return (mean + JITTER * torch.randn(mean.shape, generator=random)).clamp(-0.99, 0.99)
