"""Small COCO-format data sets, sound or broken, written by code."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 20, 30
SQUARE = [[2, 3, 12, 3, 12, 13, 2, 13]]


def annotation(annotation_id: int = 1, image_id: int = 1, **changes: Any) -> dict[str, Any]:
    """A sound 10 x 10 square whose top left corner is at x 2, y 3."""
    record = {"id": annotation_id, "image_id": image_id, "category_id": 3, "iscrowd": 0}
    return {**record, "segmentation": copy.deepcopy(SQUARE), "bbox": [2, 3, 10, 10], "area": 100, **changes}


def image_record(image_id: int = 1, **changes: Any) -> dict[str, Any]:
    return {"id": image_id, "file_name": f"{image_id}.png", "width": WIDTH, "height": HEIGHT, **changes}


def dataset(**changes: Any) -> dict[str, Any]:
    """Two images, the second without annotations; categories 3 and 7, the second unused."""
    data = {
        "images": [image_record(1), image_record(2)],
        "annotations": [annotation()],
        "categories": [{"id": 7, "name": "dot"}, {"id": 3, "name": "square"}],
    }
    return {**data, **changes}


def pixels(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def write(folder: Path, data: Any | None = None, split: str = "train") -> tuple[Path, Path]:
    """Write annotations, and pixels for every image record that can have any. Returns (images folder, annotation file)."""
    data = dataset() if data is None else data
    images, annotations = folder / split, folder / "annotations" / f"instances_{split}.json"
    images.mkdir(parents=True, exist_ok=True)
    annotations.parent.mkdir(exist_ok=True)
    annotations.write_text(json.dumps(data))
    for index in range(1, 3):
        Image.fromarray(pixels(seed=index + 10 * len(split))).save(images / f"{index}.png")
    return images, annotations


def truncate(path: Path, keep: float = 0.6) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def moving_square(frames, size=(48, 64), noise=False):
    """(H, W, 3) uint8 pictures: a red square that moves right, a white one in the top left corner."""
    generator = np.random.default_rng(0)
    for place in range(frames):
        picture = generator.integers(0, 256, (*size, 3), dtype=np.uint8) if noise else np.zeros((*size, 3), np.uint8)
        picture[16:32, 2 * place : 2 * place + 16] = (255, 0, 0)
        picture[:8, :8] = 255
        yield picture


def write_video(path, frames, rate, codec="libx264", rotation=0, noise=False, faststart=False):
    """`moving_square` as a video file, its container by the suffix; `noise` makes it large enough to be cut up."""
    import av

    options = {"movflags": "faststart"} if faststart else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = 48, 64, "yuv420p", 5
        if rotation:
            stream.set_display_rotation(rotation)
        for picture in moving_square(frames, noise=noise):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path
