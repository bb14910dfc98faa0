"""Large images with small objects, cut into tiles in which the objects are large enough for a small network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from experiments.datasets.find import find_dataset
from experiments.datasets.importers.base import Imported, Importer, Track
from yolact.data.coco import CocoSplit, Instances
from yolact.data.synthetic.shapes import encode_png
from yolact.ops import rle

LEAST_SHARE = 0.25
"""An object with less than this share of its pixels in a tile is a crowd there: neither learned nor counted as missed."""


class Tiles(Importer):
    """Every split of a data set (name, declaration or folder) as square tiles.

    Tiles don't overlap and are spread evenly; a remainder narrower than a tile is left out at the borders, an image smaller
    than a tile is one tile. The order of tiles is independent of their images, so that the first hundred come from many images.
    """

    side: Annotated[int, Field(ge=16)]
    """Of each tile, in pixels."""

    def splits(self, source: str, images: Path, track: Track, imported: Imported) -> Iterator[tuple[str, dict[str, Any]]]:
        dataset = find_dataset(source)
        root = dataset.files_root()
        for split in dataset.splits:
            yield split, _split(CocoSplit(*dataset.paths(split, root)), images / split, split, self.side, track)


def _split(split: CocoSplit, folder: Path, name: str, side: int, track: Track) -> dict[str, Any]:
    folder.mkdir()
    places = [(image_id, window) for image_id in split.image_ids for window in windows(*split.size(image_id), side)]
    order = sorted(places, key=lambda place: hashlib.sha256(repr(place).encode()).digest())
    numbers = {place: number for number, place in enumerate(order, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id in track(split.image_ids, name):
        pixels, instances = split.image(image_id).permute(1, 2, 0).numpy(), split.instances(image_id)
        for window in windows(*split.size(image_id), side):
            number = numbers[image_id, window]
            top, left, bottom, right = window
            file = f"{number:06d}.png"
            (folder / file).write_bytes(encode_png(np.ascontiguousarray(pixels[top:bottom, left:right])))
            images.append({"id": number, "file_name": file, "width": right - left, "height": bottom - top})
            annotations += _annotations(instances, window, number, split.category_ids)
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    categories = [{"id": number, "name": each} for number, each in zip(split.category_ids, split.class_names, strict=True)]
    images.sort(key=lambda record: record["id"])
    return {"images": images, "annotations": annotations, "categories": categories}


def windows(height: int, width: int, side: int) -> list[tuple[int, int, int, int]]:
    """(top, left, bottom, right) of the tiles of an image, row by row."""
    rows, columns = _spread(height, side), _spread(width, side)
    return [(top, left, min(top + side, height), min(left + side, width)) for top in rows for left in columns]


def _spread(length: int, side: int) -> list[int]:
    count = max(1, length // side)
    gap = max(0, length - count * side) / (count + 1)
    return [round(gap * (place + 1)) + side * place for place in range(count)]


def _annotations(
    instances: Instances, window: tuple[int, int, int, int], image_id: int, category_ids: list[int]
) -> list[dict[str, Any]]:
    found = []
    pieces = instances.patches.cut(*window)
    for label, crowd, whole, mask in zip(
        instances.labels.tolist(), instances.crowd.tolist(), instances.patches.items, pieces.dense().numpy(), strict=True
    ):
        area = int(mask.sum())
        if not area:
            continue
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        found.append(
            {
                "image_id": image_id,
                "category_id": category_ids[label],
                "iscrowd": int(crowd or area < LEAST_SHARE * whole.pixels.sum()),
                "area": area,
                "bbox": [int(v) for v in (columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)],
                "segmentation": rle.encode(mask[None])[0],
            }
        )
    return found
