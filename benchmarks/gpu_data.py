"""A COCO-format data set with its images recompressed as JPEG, so that it travels in a third of the size.

    python -m benchmarks.gpu_data SOURCE TARGET

Masks and boxes stay as they are; pixels change a little, so the result is a data set of its own, named by its folder.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from yolact.data.annotations import read_annotations
from yolact.data.images import read_image
from yolact.errors import UserError

QUALITY = 90


def recompress(source: Path, target: Path) -> int:
    """Write `target`, which replaces what stands there only once it is whole; returns the number of images.

    Args:
        source: holds annotations/instances_<split>.json and images/.
    """
    files = sorted((source / "annotations").glob("instances_*.json"))
    if not files:
        raise UserError(f"{source}: there is no annotations/instances_<split>.json; name a COCO-format folder")
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "images").mkdir(parents=True)
    (part / "annotations").mkdir()
    count = 0
    for file in files:
        annotations = read_annotations(file)
        for record in annotations["images"]:
            record["file_name"] = _recompressed(source, record, part / "images")
            count += 1
        (part / "annotations" / file.name).write_text(json.dumps(annotations, separators=(",", ":")), encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    os.replace(part, target)
    return count


def _recompressed(source: Path, record: dict[str, Any], folder: Path) -> str:
    """Write one image, named by its id; returns its new name."""
    from PIL import Image

    inside = PurePosixPath(record["file_name"])
    if inside.is_absolute() or ".." in inside.parts:
        raise UserError(f"{source}: image {record['id']}: file_name {record['file_name']!r} leads out of the folder")
    pixels = read_image(source / "images" / inside).permute(1, 2, 0).numpy()
    grey = bool((pixels == pixels[..., :1]).all())
    name = f"{int(record['id'])}.jpg"
    Image.fromarray(pixels[..., 0] if grey else pixels).save(folder / name, quality=QUALITY, optimize=True)
    return name


if __name__ == "__main__":
    try:
        print(f"{recompress(Path(sys.argv[1]), Path(sys.argv[2]))} images: {sys.argv[2]}")
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
