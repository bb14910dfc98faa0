"""COCO's compressed run-length encoding of masks, checked before pycocotools' C code sees it.

A mask (H, W) is read column by column; runs of 0s and 1s alternate, beginning with 0s. Each run length, from the fourth on as
the difference to the one two before, is written in groups of five bits, least significant first, one character per group.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

_MOST_GROUPS = 7
"""Characters per run length: 35 bits exceed any image."""


def encode(masks: NDArray[Any]) -> list[dict[str, Any]]:
    """(n, H, W) bool or uint8 masks as n records {"size": [H, W], "counts": str}."""
    columns = np.asfortranarray(masks.astype(np.uint8, copy=False).transpose(1, 2, 0))
    if not columns.size:
        height, width = masks.shape[1:]
        return [{"size": [height, width], "counts": ""} for _ in masks]
    encoded = coco_mask.encode(columns)
    return [{"size": list(map(int, each["size"])), "counts": each["counts"].decode("ascii")} for each in encoded]


def decode(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:
    """The (H, W) bool mask of one compressed RLE.

    Raises:
        ValueError: `problem` found something wrong with it.
    """
    wrong = problem(segmentation, height, width)
    if wrong:
        raise ValueError(wrong)
    return coco_mask.decode(segmentation).astype(bool)


def problem(segmentation: Any, height: int, width: int) -> str | None:
    """What is wrong with a compressed RLE of an image of this size, or None.

    pycocotools trusts the runs and writes outside its memory where they are longer than the image, hence this check.
    """
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= set(segmentation):
        return "is not compressed RLE, an object of size [height, width] and counts"
    size, counts = segmentation["size"], segmentation["counts"]
    if not isinstance(size, list | tuple) or list(size) != [height, width]:
        return f"has size {size}, but the image is [{height}, {width}] (height, width)"
    if not isinstance(counts, str | bytes):
        return "has counts that are not a string; write compressed RLE, as pycocotools.mask.encode does"
    try:
        lengths = run_lengths(counts)
    except ValueError as error:
        return f"has malformed counts: {error}"
    if lengths.sum() != height * width:
        return f"has counts for {lengths.sum()} pixels, but the image has {height * width}"
    return None


def run_lengths(counts: str | bytes) -> NDArray[np.int64]:
    """The run lengths that a compressed counts string stands for.

    Raises:
        ValueError: a character that does not occur in RLE, a run cut short, or a negative run.
    """
    try:
        raw = counts.encode("ascii") if isinstance(counts, str) else counts
    except UnicodeEncodeError as error:
        raise ValueError(f"character {error.object[error.start]!r}") from None
    groups = np.frombuffer(raw, dtype=np.uint8).astype(np.int64) - 48
    if not len(groups):
        return groups
    if groups.min() < 0 or groups.max() > 63:
        raise ValueError("a character outside '0' to 'o'")
    lasts = np.flatnonzero((groups & 0x20) == 0)
    if not len(lasts) or lasts[-1] != len(groups) - 1:
        raise ValueError("the last run is cut short")
    firsts = np.concatenate([[0], lasts[:-1] + 1])
    sizes = lasts - firsts + 1
    if sizes.max() > _MOST_GROUPS:
        raise ValueError("a run longer than any image")
    places = np.arange(len(groups)) - np.repeat(firsts, sizes)
    values = np.add.reduceat((groups & 0x1F) << (5 * places), firsts)
    values -= ((groups[lasts] & 0x10) != 0).astype(np.int64) << (5 * sizes)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    if values.min() < 0:
        raise ValueError("a negative run")
    return values
