"""A trained network on video, frame by frame: an MP4 with overlays, and detections in COCO's result format.

Frames are decoded in a thread before the network looks at them, and drawn, encoded and written in another one after it.

For `clip.mov` the folder gets `clip.mp4`, `clip.detections.json` (records, whose `image_id` is the frame's number from 1) and
`clip.images.json` (COCO's `images`, with each frame's `time` in seconds, and `categories`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolact.errors import UserError
from yolact.inference.overlap import ahead, behind
from yolact.inference.predict_images import Trained, above, free_name
from yolact.runtime.files import write_json, written_aside

if TYPE_CHECKING:
    from torch import Tensor

    from yolact.config import InferenceConfig
    from yolact.data.video import Frame, VideoWriter
    from yolact.structures import Detections

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".ogv", ".3gp")
"""What is taken for a video, among files that are named."""
AHEAD, BEHIND = 4, 2
"""How many frames are decoded before the network is ready for them, and how many wait, with their masks, to be written."""
Watch = Callable[[Iterable[Any], int | None, str], Iterable[Any]]
"""Passes frames on and shows progress, given how many are expected and what they come from."""


@dataclass(frozen=True)
class Video:
    """One video to look at."""

    path: Path
    name: str
    """Of its results, different for every video."""

    def results(self, folder: Path) -> tuple[Path, Path, Path]:
        """Where overlays, records and the list of frames go."""
        return folder / f"{self.name}.mp4", folder / f"{self.name}.detections.json", folder / f"{self.name}.images.json"


@dataclass(frozen=True)
class Found:
    """What came of one video."""

    frames: int
    detections: int
    fault: str | None
    """What was wrong with the file, where some of it could be read nevertheless."""
    seconds: float
    """From opening the video to its results standing on disk."""

    @property
    def rate(self) -> float:
        """Frames per second, everything included."""
        return self.frames / self.seconds


def find_videos(paths: Iterable[Path]) -> tuple[list[Video], list[Path]]:
    """The videos among the files named, by their suffix, and the other paths.

    Raises:
        UserError: a video that does not exist.
    """
    videos, others = [], []
    taken: set[str] = set()
    for path in dict.fromkeys(paths):
        if path.suffix.lower() not in SUFFIXES or path.is_dir():
            others.append(path)
        elif path.is_file():
            videos.append(Video(path, free_name(path.stem, taken)))
        else:
            raise UserError(f"{path}: no such video")
    return videos, others


def predict_video(
    trained: Trained, video: Video, folder: Path, inference: InferenceConfig, threshold: float, device: str, watch: Watch
) -> Found:
    """Look at every frame and write what was found into `folder`, all three files or none.

    Args:
        threshold: detections below this score are neither drawn nor written.

    Raises:
        VideoError: nothing of the file could be read.
    """
    from yolact.data.video import VideoError, create_video, open_video
    from yolact.inference.predictor import Predictor

    begun = time.perf_counter()
    predictor = Predictor(trained.model, inference.engine)
    folder.mkdir(parents=True, exist_ok=True)
    overlays, records, listing = video.results(folder)
    images: list[dict[str, Any]] = []
    with open_video(video.path) as reader, written_aside(overlays) as aside, _record_file(records) as write:
        with create_video(aside, reader.rate) as overlay:
            finish = partial(_finish, trained, write, overlay)
            with closing(ahead(_inputs(reader), AHEAD)) as inputs, behind(finish, BEHIND) as hand_on:
                for frame, image in watch(inputs, reader.expected, video.path.name):
                    hand_on(frame, above(predictor.predict([image.to(device)], inference)[0], threshold))
                    images.append(_described(frame, video.path))
        if not images:
            raise VideoError(reader.fault or f"{video.path}: the video has no frames")
    written = write.count
    write_json(listing, {"images": images, "categories": trained.categories}, indent=None)
    return Found(len(images), written, reader.fault, time.perf_counter() - begun)


def _inputs(frames: Iterable[Frame]) -> Iterator[tuple[Frame, Tensor]]:
    """Each frame with its pixels as the network takes them."""
    import torch

    for frame in frames:
        yield frame, torch.from_numpy(frame.pixels.transpose(2, 0, 1).copy())


def _finish(trained: Trained, write: _RecordWriter, overlay: VideoWriter, frame: Frame, found: Detections) -> None:
    """Write what was found in a frame, and the frame with it drawn on."""
    import numpy as np

    from yolact.evaluation.results import to_records
    from yolact.inference.drawing import draw

    write(to_records(found, frame.number, trained.category_ids))
    overlay.write(np.asarray(draw(frame.pixels, found, trained.class_names)), frame.time)


def _described(frame: Frame, path: Path) -> dict[str, Any]:
    height, width = frame.pixels.shape[:2]
    return {"id": frame.number, "file_name": str(path), "time": round(frame.time, 6), "height": height, "width": width}


class _RecordWriter:
    """Appends records to a JSON list on disk: those of a long video don't fit in memory."""

    def __init__(self, file: Any) -> None:
        self._file, self.count = file, 0

    def __call__(self, records: list[dict[str, Any]]) -> None:
        for record in records:
            self._file.write((",\n" if self.count else "\n") + json.dumps(record, allow_nan=False))
            self.count += 1


@contextmanager
def _record_file(path: Path) -> Iterator[_RecordWriter]:
    with written_aside(path) as aside, open(aside, "w", encoding="utf-8", newline="\n") as file:
        file.write("[")
        yield _RecordWriter(file)
        file.write("\n]\n")
