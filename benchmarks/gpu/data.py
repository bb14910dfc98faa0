"""A COCO-format data set with its images recompressed as JPEG, so that it travels in a third of the size.

    python -m benchmarks gpu-data SOURCE TARGET

Masks and boxes stay as they are; pixels change a little, so the result is a separate data set, named by its folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Sequence
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Recompress the data set that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="COCO-format folder: annotations/instances_<split>.json and images/")
    parser.add_argument("target", type=Path, help="folder to write; what it has is replaced")
    options = parser.parse_args(arguments)
    print(f"{recompress(options.source, options.target)} images: {options.target}")
