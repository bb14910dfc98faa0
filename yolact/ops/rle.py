"""COCO's compressed run-length encoding of masks, checked before pycocotools' C code sees it.

A mask (H, W) is read column by column; runs of 0s and 1s alternate, beginning with 0s. Each run length, from the fourth on as
the difference to the one two before, is written in groups of five bits, least significant first, one character per group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

_MOST_GROUPS = 7
"""Characters per run length: 35 bits exceed any image."""
_AT_ONCE = 4096
"""Masks read together; bounds the memory it takes."""


def encode(masks: NDArray[Any]) -> list[dict[str, Any]]:
    """(n, H, W) bool or uint8 masks of 0 and 1 as n records {"size": [H, W], "counts": str}.

    The bytes are those of pycocotools' `encode`, which looks at every pixel and keeps other threads waiting.
    """
    _, height, width = masks.shape
    if not masks.size:
        return [{"size": [height, width], "counts": ""} for _ in masks]
    lengths = [_lengths(mask) for mask in masks]
    texts = _texts(np.concatenate(lengths), np.array([len(each) for each in lengths]))
    return [{"size": [height, width], "counts": text} for text in texts]


def decode(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:
    """The (H, W) bool mask of one compressed RLE.

    Raises:
        ValueError: `problem` found something wrong with it.
    """
    checked_runs(segmentation, height, width)
    return coco_mask.decode(segmentation).astype(bool)


def problem(segmentation: Any, height: int, width: int) -> str | None:
    """What is wrong with a compressed RLE of an image of this size, or None; see `checked_runs`."""
    try:
        checked_runs(segmentation, height, width)
    except ValueError as error:
        return str(error)
    return None


def checked_runs(segmentation: Any, height: int, width: int, lists: bool = False) -> NDArray[np.int64]:
    """The run lengths of an RLE, which sum to height times width.

    pycocotools trusts the runs and writes outside its memory if they are longer than the image, hence this check.

    Args:
        lists: whether `counts` may be a list of run lengths (uncompressed RLE) too.

    Raises:
        ValueError: the segmentation is no RLE of an image of this size; the message continues "segmentation ...".
    """
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= set(segmentation):
        raise ValueError(f"is not {'an' if lists else 'compressed'} RLE, an object of size [height, width] and counts")
    size, counts = segmentation["size"], segmentation["counts"]
    if not isinstance(size, list | tuple) or list(size) != [height, width]:
        raise ValueError(f"has size {size}, but the image is [{height}, {width}] (height, width)")
    if lists and isinstance(counts, list):
        if not all(type(count) is int and 0 <= count <= height * width for count in counts):
            raise ValueError(f"has counts that are not integers of 0 to {height * width}, the image's pixels")
        runs = np.array(counts, np.int64)
    elif isinstance(counts, str | bytes):
        try:
            runs = run_lengths(counts)
        except ValueError as error:
            raise ValueError(f"has malformed counts: {error}") from None
    elif lists:
        raise ValueError("has counts that are neither a string nor a list of integers")
    else:
        raise ValueError("has counts that are not a string; write compressed RLE, as pycocotools.mask.encode does")
    if runs.sum() != height * width:
        raise ValueError(f"has counts for {runs.sum()} pixels, but the image has {height * width}")
    return runs


def run_lengths(counts: str | bytes) -> NDArray[np.int64]:
    """The run lengths that a compressed counts string stands for.

    Raises:
        ValueError: a character that does not occur in RLE, a run cut short, or a negative run.
    """
    try:
        raw = counts.encode("ascii") if isinstance(counts, str) else counts
    except UnicodeEncodeError as error:
        raise ValueError(f"character {error.object[error.start]!r}") from None
    return _runs(raw, np.array([len(raw)]))[0] if raw else np.zeros(0, np.int64)


def all_run_lengths(counts: Sequence[bytes]) -> list[NDArray[np.int64]]:
    """`run_lengths` of several masks, none of them empty, at little more than the cost of one."""
    if not counts:
        return []
    values, numbers = _runs(b"".join(counts), np.array([len(each) for each in counts]))
    return np.split(values, np.cumsum(numbers)[:-1])


def areas(segmentations: Sequence[Any], sizes: Sequence[tuple[int, int]]) -> NDArray[np.int64] | None:
    """How many pixels each of n compressed RLEs sets, found many times faster than by `decode`.

    None where something is wrong with one of them, or not as `encode` writes it; `problem` says what.

    Args:
        sizes: (height, width) of the n images.
    """
    parts = [np.zeros(0, np.int64)]
    for start in range(0, len(segmentations), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        try:
            parts.append(_areas(segmentations[part], sizes[part]))
        except (KeyError, TypeError, AttributeError, ValueError):
            return None
    return np.concatenate(parts)


def _areas(segmentations: Sequence[Any], sizes: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    raws = [each["counts"].encode("ascii") for each in segmentations]
    if not all(raws) or [list(each["size"]) for each in segmentations] != [list(size) for size in sizes]:
        raise ValueError("empty, or of another size")
    values, counts = _runs(b"".join(raws), np.array([len(raw) for raw in raws]))
    starts = np.cumsum(counts) - counts
    if (np.add.reduceat(values, starts) != [height * width for height, width in sizes]).any():
        raise ValueError("more or fewer pixels than the image")
    values[_places(counts) % 2 == 0] = 0
    return np.add.reduceat(values, starts)


def _runs(raw: bytes, sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The run lengths of n masks, one after the other, and how many each mask has (n,).

    Args:
        raw: the counts strings one after the other, none of them empty.
        sizes: (n,) characters of each.
    """
    groups = np.frombuffer(raw, dtype=np.uint8).astype(np.int64) - 48
    if groups.min() < 0 or groups.max() > 63:
        raise ValueError("a character outside '0' to 'o'")
    last = (groups & 0x20) == 0
    if not last[np.cumsum(sizes) - 1].all():
        raise ValueError("the last run is cut short")
    lasts = np.flatnonzero(last)
    firsts = np.concatenate([[0], lasts[:-1] + 1])
    characters = lasts - firsts + 1
    if characters.max() > _MOST_GROUPS:
        raise ValueError("a run longer than any image")
    values = np.add.reduceat((groups & 0x1F) << (5 * _places(characters)), firsts)
    values -= ((groups[lasts] & 0x10) != 0).astype(np.int64) << (5 * characters)
    counts = np.add.reduceat(last, np.cumsum(sizes) - sizes, dtype=np.int64)
    places = _places(counts)
    inside, outside = places % 2 == 1, (places % 2 == 0) & (places > 0)
    values[inside] = _running_sums(values[inside], counts // 2)
    values[outside] = _running_sums(values[outside], (counts - 1) // 2)
    if values.min() < 0:
        raise ValueError("a negative run")
    return values, counts


def _lengths(mask: NDArray[Any]) -> NDArray[np.int64]:
    """The run lengths of an (H, W) mask that has pixels."""
    height = len(mask)
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return np.array([mask.size])
    top, bottom = (int(row) for row in rows[[0, -1]] + (0, 1))
    left, right = (int(column) for column in np.flatnonzero(mask[top:bottom].any(axis=0))[[0, -1]] + (0, 1))
    down = bottom - top + 1  # every column ends with a 0, so that a run never reaches into the next
    line = np.zeros(1 + (right - left) * down, bool)
    line[1:].reshape(right - left, down)[:, :-1] = mask[top:bottom, left:right].T
    column, row = np.divmod(np.flatnonzero(line[1:] != line[:-1]), down)
    edges = (left + column) * height + top + row  # where a run of 1s begins, where it ends, where the next begins, ...
    if down > height:  # columns may be set from end to end
        joined = np.flatnonzero(edges[1:-1:2] == edges[2::2])
        edges = np.delete(edges, np.concatenate([2 * joined + 1, 2 * joined + 2]))
    lengths = np.diff(edges, prepend=0, append=mask.size)
    return lengths if lengths[-1] else lengths[:-1]


def _texts(values: NDArray[np.int64], counts: NDArray[np.int64]) -> list[str]:
    """The counts strings of n masks: the inverse of `_runs`, whose results these are."""
    steps = values.copy()
    later = np.flatnonzero(_places(counts) > 2)
    steps[later] -= values[later - 2]
    number = np.arange(_MOST_GROUPS)
    number = number[: 1 + int(max(steps.max(), ~steps.min())).bit_length() // 5]
    groups = steps[:, None] >> (5 * number)
    signs = groups >> 4
    last = ((signs == 0) | (signs == -1)).argmax(axis=1)  # the group whose upper bit, repeated, gives all that follow
    characters = (groups & 0x1F) + np.where(number < last[:, None], 48 + 0x20, 48)
    text = characters[number <= last[:, None]].astype(np.uint8).tobytes().decode("ascii")
    ends = np.cumsum(np.add.reduceat(last + 1, np.cumsum(counts) - counts)).tolist()
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _places(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, ... up to each of the counts, one after the other."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _running_sums(values: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sum up to each value, beginning anew after each of `counts` values."""
    sums = np.concatenate([[0], np.cumsum(values)])
    return sums[1:] - np.repeat(sums[np.cumsum(counts) - counts], counts)
