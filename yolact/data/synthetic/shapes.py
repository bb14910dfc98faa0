"""The generated data set `shapes`: COCO json and PNG, the same bytes on every machine for the same `ShapesConfig`.

Coloured shapes that differ by outline stand on dark textured ground. Most come in groups of one class and colour that
overlap, so that instances can only be told apart by place. The files:

    <folder>/annotations/instances_{train,val,test}.json    masks are the visible parts, as compressed RLE; crowds uncompressed
    <folder>/{train,val,test}/000001.png
    <folder>/manifest.json                                  the configuration and the SHA-256 of every other file
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from yolact.config.data import ShapesConfig
from yolact.data.findings import DatasetError
from yolact.data.synthetic.scenes import CLASSES, Scene, Shape, box_of, draw_scene, touches_twin

SPLITS = ("train", "val", "test")
_MANIFEST = "manifest.json"


def generate_shapes(folder: Path, config: ShapesConfig) -> None:
    """Make the data set in `folder`, or verify the one that is there.

    It is written beside the folder and renamed when complete, so no reader sees half of it.

    Raises:
        DatasetError: if the folder holds something else or has changed since, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists():
        verify_shapes(folder, config)
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be made ({error.strerror}); choose a folder you may write to") from None
    try:
        _write(temporary, config)
        temporary.chmod(0o755)
        try:
            os.rename(temporary, folder)
        except OSError:
            if not folder.exists():
                raise
            verify_shapes(folder, config)  # another process was faster
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be written ({error.strerror}); make room or choose another folder") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def verify_shapes(folder: Path, config: ShapesConfig) -> None:
    """Compare every file with the manifest.

    Raises:
        DatasetError: naming the first file that is missing or differs.
    """
    remedy = "delete the folder and it will be made again"
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        config_there, files = manifest["config"], dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError):
        raise DatasetError(
            f"{folder}: holds no generated data set ({_MANIFEST} is missing or broken); name another folder"
        ) from None
    if config_there != config.to_data():
        raise DatasetError(f"{folder}: was made with other settings ({config_there}); name another folder or {remedy}")
    for name, digest in files.items():
        try:
            found = _sha256((folder / name).read_bytes())
        except OSError:
            raise DatasetError(f"{folder / name}: is missing; {remedy}") from None
        if found != digest:
            raise DatasetError(f"{folder / name}: has changed since it was made; {remedy}")


def render_image(config: ShapesConfig, split: str, index: int) -> Scene:
    """Picture `index` (from 0) of a split; it depends on nothing but the seed, the split and the index."""
    random = np.random.RandomState([config.seed, SPLITS.index(split), index])
    return draw_scene(random, config.image_size)


def encode_png(pixels: np.ndarray) -> bytes:
    """(H, W, 3) uint8 as a PNG whose data are stored, not compressed: zlib libraries compress to different bytes."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1).tobytes()
    blocks = [rows[start : start + 65535] for start in range(0, len(rows), 65535)]
    stored = b"".join(
        struct.pack("<BHH", index == len(blocks) - 1, len(block), len(block) ^ 0xFFFF) + block
        for index, block in enumerate(blocks)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(rows))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _write(folder: Path, config: ShapesConfig) -> None:
    digests: dict[str, str] = {}

    def save(name: str, content: bytes) -> None:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        digests[name] = _sha256(content)

    for split, count in zip(SPLITS, (config.train, config.val, config.test), strict=True):
        records: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        overlapping = instances = 0
        for index in range(count):
            scene = render_image(config, split, index)
            name = f"{index + 1:06d}.png"
            save(f"{split}/{name}", encode_png(scene.image))
            records.append({"id": index + 1, "file_name": name, "width": config.image_size, "height": config.image_size})
            for shape in scene.shapes:
                annotations.append(_annotation(len(annotations) + 1, index + 1, shape))
                instances += not shape.crowd
                overlapping += not shape.crowd and touches_twin(shape, scene.shapes)
        info = {
            "description": f"shapes, {split}",
            "config": config.to_data(),
            "overlapping_same_class_and_colour": round(overlapping / max(instances, 1), 4),
        }
        categories = [{"id": label + 1, "name": name} for label, name in enumerate(CLASSES)]
        data = {"info": info, "images": records, "annotations": annotations, "categories": categories}
        save(f"annotations/instances_{split}.json", _json(data))
    (folder / _MANIFEST).write_bytes(_json({"config": config.to_data(), "files": digests}))


def _annotation(annotation_id: int, image_id: int, shape: Shape) -> dict[str, Any]:
    x1, y1, x2, y2 = box_of(shape.mask)
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": shape.label + 1,
        "iscrowd": int(shape.crowd),
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": int(shape.mask.sum()),
        "segmentation": _run_lengths(shape.mask) if shape.crowd else _compressed(shape.mask),
    }


def _compressed(mask: np.ndarray) -> dict[str, Any]:
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": rle["counts"].decode("ascii")}


def _run_lengths(mask: np.ndarray) -> dict[str, Any]:
    column_major = mask.T.ravel()
    changes = np.flatnonzero(np.diff(column_major)) + 1
    edges = np.concatenate([[0] if column_major[0] else [], [0], changes, [column_major.size]])
    return {"size": list(mask.shape), "counts": [int(run) for run in np.diff(edges)]}


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _json(data: Any) -> bytes:
    return (json.dumps(data, separators=(",", ":")) + "\n").encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
