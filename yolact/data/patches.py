"""Instance masks as the small rectangles that hold them, until a network wants them at its own size.

An image with forty instances has forty masks of its full size, nearly all of them nothing; cut to the instances, they are
moved, mirrored and resized at a cost that goes with the instances' area.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from torch import Tensor

from yolact.ops import rle
from yolact.ops.resampling import taps


@dataclass(frozen=True)
class Patch:
    """One mask's rectangle."""

    top: int
    left: int
    pixels: NDArray[np.uint8]
    """(h, w) of 0 and 1; either side may be 0."""

    def cut(self, top: int, left: int, bottom: int, right: int) -> Patch:
        """What lies in a window, in coordinates of the window."""
        height, width = self.pixels.shape
        y1, y2 = np.clip([top - self.top, bottom - self.top], 0, height)
        x1, x2 = np.clip([left - self.left, right - self.left], 0, width)
        return Patch(max(self.top - top, 0), max(self.left - left, 0), self.pixels[y1:y2, x1:x2])


@dataclass(frozen=True)
class Patches:
    """The masks of n instances in an image of (height, width)."""

    height: int
    width: int
    items: tuple[Patch, ...]

    def __len__(self) -> int:
        return len(self.items)

    @classmethod
    def of(cls, masks: Tensor | NDArray[np.uint8]) -> Patches:
        """Of (n, H, W) masks of 0 and 1."""
        dense = np.asarray(masks, np.uint8)
        return cls(dense.shape[1], dense.shape[2], tuple(_tight(mask) for mask in dense))

    @classmethod
    def of_rles(cls, rles: Sequence[dict[str, Any]], height: int, width: int) -> Patches:
        """Of compressed RLEs, {"size": [H, W], "counts": bytes}, in which `segmentation_fault` finds nothing."""
        boxes = coco_mask.toBbox(list(rles)).astype(int).reshape(-1, 4)
        lengths = rle.all_run_lengths([each["counts"] for each in rles])
        return cls(height, width, tuple(_decoded(own, box, height) for own, box in zip(lengths, boxes, strict=True)))

    @property
    def bytes(self) -> int:
        """Memory of the pixels."""
        return sum(item.pixels.size for item in self.items)

    def dense(self) -> Tensor:
        """(n, H, W) uint8."""
        masks = np.zeros((len(self), self.height, self.width), np.uint8)
        for mask, item in zip(masks, self.items, strict=True):
            height, width = item.pixels.shape
            mask[item.top : item.top + height, item.left : item.left + width] = item.pixels
        return torch.from_numpy(masks)

    def padded(self, left: int, top: int, right: int, bottom: int) -> Patches:
        """On a canvas that is so many pixels larger on each side."""
        items = tuple(Patch(item.top + top, item.left + left, item.pixels) for item in self.items)
        return Patches(self.height + top + bottom, self.width + left + right, items)

    def cut(self, top: int, left: int, bottom: int, right: int) -> Patches:
        """In the window of these pixels."""
        return Patches(bottom - top, right - left, tuple(item.cut(top, left, bottom, right) for item in self.items))

    def mirrored(self) -> Patches:
        """Left and right exchanged."""
        items = tuple(
            Patch(item.top, self.width - item.left - item.pixels.shape[1], item.pixels[:, ::-1]) for item in self.items
        )
        return Patches(self.height, self.width, items)

    def kept(self, chosen: Iterable[bool]) -> Patches:
        """Of the instances for which `chosen` is true."""
        items = tuple(item for item, keep in zip(self.items, chosen, strict=True) if keep)
        return Patches(self.height, self.width, items)

    def squashed(self, side: int) -> Tensor:
        """(n, side, side) uint8: resized bilinearly as numbers, without antialiasing, and 1 from one half on.

        As `interpolate(masks.float(), (side, side), mode="bilinear")` >= 0.5 has it, up to sums that rounding puts on the other
        side of one half.
        """
        if self.height == self.width == side:
            return self.dense()
        rows, columns = _samples(self.height, side), _samples(self.width, side)
        masks = np.zeros((len(self), side, side), np.uint8)
        for mask, item in zip(masks, self.items, strict=True):
            if not item.pixels.size:
                continue
            height, width = item.pixels.shape
            across, x = columns.inside(item.left, width)
            down, y = rows.inside(item.top, height)
            framed = np.zeros((height + 2, width + 2), np.float32)
            framed[1:-1, 1:-1] = item.pixels
            mask[y, x] = down.of(across.of(framed.T).T) >= 0.5
        return torch.from_numpy(masks)


@dataclass(frozen=True)
class _Samples:
    """Where each pixel of a resized side reads, and how much of the second of two neighbours."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    share: NDArray[np.float32]
    """Of the second, (n, 1)."""

    def inside(self, start: int, length: int) -> tuple[_Samples, slice]:
        """Those that read any of `length` pixels from `start` on, counted from the pixel before `start`, and which they are."""
        begin = int(np.searchsorted(self.second, start, side="left"))
        end = int(np.searchsorted(self.first, start + length, side="left"))
        chosen = slice(begin, max(begin, end))
        place = [np.clip(each[chosen] - start + 1, 0, length + 1) for each in (self.first, self.second)]
        return _Samples(place[0], place[1], self.share[chosen]), chosen

    def of(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows (m, w) read so: (n, w)."""
        return rows[self.first] * (1 - self.share) + rows[self.second] * self.share


def _samples(length: int, side: int) -> _Samples:
    """Of `length` pixels resized to `side`, as torch's interpolation on the CPU reads them."""
    low, high, share = taps(length, side, fused=True)
    return _Samples(low.numpy(), high.numpy(), share.numpy()[:, None])


def _decoded(lengths: NDArray[np.int64], box: NDArray[np.int64], height: int) -> Patch:
    """The pixels inside `box` (x, y, w, h) of a mask of these run lengths that is 0 outside it."""
    left, top, columns, rows = (int(value) for value in box)
    ends = np.clip(np.cumsum(lengths), left * height, (left + columns) * height)
    runs = np.diff(ends, prepend=left * height)
    values = np.arange(len(runs), dtype=np.uint8) & 1
    pixels = np.repeat(values, runs).reshape(columns, height).T[top : top + rows]
    return Patch(top, left, np.ascontiguousarray(pixels))


def _tight(mask: NDArray[np.uint8]) -> Patch:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return Patch(0, 0, mask[:0, :0])
    top, left = int(rows[0]), int(columns[0])
    return Patch(top, left, mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1])
