"""A few successive frames of a sequence, kept for the report: the neighbourhood of one object, and the tracks' masks in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolact.data.synthetic.motion import Frame, areas
from yolact.data.synthetic.scenes import box_of
from yolact.measures.stability.tracking import Track
from yolact.runtime.files import write_npz

FRAMES = 6
"""Kept, from the middle of the sequence."""
_MARGIN = 0.35
"""Room around the object, as a fraction of its longer side."""
_LARGEST = 320
"""Pixels of a kept picture's longer side, at most; of larger ones every second, third, ... is kept."""


class Film:
    """Collects what `write` stores: frames (m,), images (m, h, w, 3) uint8, tracks (m, h, w) int32, at each pixel the number of
    the best track whose mask covers it, -1 where none does, and truth (m, h, w) bool, whether the pixel shows the object.

    The object is the one of median size among those visible in the first frame that is kept, which no detection has a say in;
    the window follows it. Without annotated objects the window is the whole frame.
    """

    def __init__(self, frames: int) -> None:
        self._first = max(0, (frames - FRAMES) // 2)
        self._count = 0
        self._object: int | None = None
        self._window = (0, 0, 0, 0)
        self._kept: list[tuple[int, NDArray[np.uint8], NDArray[np.int32], NDArray[np.bool_]]] = []

    def add(self, frame: Frame, tracks: list[Track]) -> None:
        """The next frame, and the tracks that have a detection in it, best first."""
        number, self._count = self._count, self._count + 1
        if not self._first <= number < self._first + FRAMES:
            return
        if number == self._first:
            self._choose(frame)
        numbers = np.full(frame.image.shape[:2], -1, np.int32)
        for track in reversed(tracks):
            numbers[track.last.mask] = track.number
        truth = np.zeros(numbers.shape, bool) if self._object is None else frame.masks[self._object]
        part = self._part(frame)
        self._kept.append((number, frame.image[part], numbers[part], truth[part]))

    def write(self, path: Path) -> None:
        """Store what was collected."""
        frames, images, tracks, truth = zip(*self._kept, strict=True)
        stacked = {"images": np.stack(images), "tracks": np.stack(tracks), "truth": np.stack(truth)}
        write_npz(path, {"frames": np.array(frames), **stacked})

    def _choose(self, frame: Frame) -> None:
        height, width = frame.image.shape[:2]
        self._window = (0, 0, width, height)
        places = np.flatnonzero(frame.visible)
        if len(places) == 0 or frame.offsets is None:
            return
        self._object = int(places[np.argsort(areas(frame.masks[places]), kind="stable")[len(places) // 2]])
        x1, y1, x2, y2 = box_of(frame.masks[self._object])
        half = int((0.5 + _MARGIN) * max(x2 - x1, y2 - y1))
        x, y = np.array([x1 + x2, y1 + y2]) // 2 - frame.offsets[self._object]
        self._window = (int(x) - half, int(y) - half, int(x) + half, int(y) + half)

    def _part(self, frame: Frame) -> tuple[slice, slice]:
        """The window in this frame, moved into it where it sticks out."""
        height, width = frame.image.shape[:2]
        x, y = (0, 0) if self._object is None or frame.offsets is None else frame.offsets[self._object]
        left, top, right, bottom = self._window
        wide, high = min(right - left, width), min(bottom - top, height)
        left, top = int(np.clip(left + x, 0, width - wide)), int(np.clip(top + y, 0, height - high))
        step = -(-max(wide, high) // _LARGEST)
        return slice(top, top + high, step), slice(left, left + wide, step)
