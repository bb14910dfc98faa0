"""Frames of a video, or of a folder of pictures, whose motion nobody knows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolact.data.findings import DatasetError
from yolact.data.images import read_pixels
from yolact.data.synthetic.motion import Frame
from yolact.data.video import VideoError, open_video

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
"""What is taken for a frame in a folder."""


def footage(source: Path, frames: int) -> Iterator[Frame]:
    """The first `frames` frames of a video file, or of the pictures in a folder in the order of their names.

    Raises:
        DatasetError: the folder holds fewer than two pictures, or pictures of different sizes.
        VideoError: the file is no video that can be read, or holds fewer than two frames, or PyAV is missing.
    """
    count = 0
    for pixels in islice(_pictures(source) if source.is_dir() else _video(source), frames):
        count += 1
        height, width = pixels.shape[:2]
        none = np.zeros(0, np.int64)
        yield Frame(pixels, none, np.zeros((0, height, width), bool), np.zeros(0, bool), None)
    if count < 2:
        error = DatasetError if source.is_dir() else VideoError
        raise error(f"{source}: has {count} frames; stability needs at least two ({', '.join(SUFFIXES)}, or a video)")


def _video(source: Path) -> Iterator[NDArray[np.uint8]]:
    with open_video(source) as reader:
        for frame in reader:
            yield frame.pixels


def _pictures(folder: Path) -> Iterator[NDArray[np.uint8]]:
    first: tuple[int, ...] | None = None
    for path in sorted(each for each in folder.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file()):
        pixels = read_pixels(path)
        first = first or pixels.shape
        if pixels.shape != first:
            size, before = (f"{shape[1]} x {shape[0]}" for shape in (pixels.shape, first))
            raise DatasetError(f"{path}: is {size}, the frames before it {before} (width x height); make them alike")
        yield pixels
