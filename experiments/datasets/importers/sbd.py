"""The Semantic Boundaries Dataset (Pascal VOC 2012 images with instance masks) as COCO json.

Source of the format: the SBD download, `benchmark_RELEASE/dataset`. `inst/<name>.mat` holds a struct GTinst with Segmentation
((H, W), pixels of instance i are i, background is 0) and Categories (the class 1..20 of instance 1, 2, ...). Ids of images and
annotations count from 1 through train and on through val, as in the authors' own conversion. Boxes are the masks' extent in
COCO's sense (last minus first pixel, plus 1); the authors' are a pixel smaller on either side.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from experiments.datasets.importers.base import Imported, Importer, Track
from yolact.config.categories import PASCAL
from yolact.data.findings import DatasetError
from yolact.errors import UserError
from yolact.ops import rle

SPLITS = ("train", "val")


def find_dataset_folder(folder: Path) -> Path:
    """The folder with img/, inst/, train.txt and val.txt: this one, or its subfolder in the download.

    Raises:
        DatasetError: it does not exist.
    """
    wanted = ("img", "inst", *(f"{split}.txt" for split in SPLITS))
    for place in (folder, folder / "dataset", folder / "benchmark_RELEASE" / "dataset"):
        if all((place / name).exists() for name in wanted):
            return place
    raise DatasetError(f"{folder}: holds no {', '.join(wanted)}; give the unpacked benchmark.tgz, or its `dataset` folder")


class Sbd(Importer):
    """The unpacked download; images are hard links if the disk allows."""

    def splits(self, source: str, images: Path, track: Track, imported: Imported) -> Iterator[tuple[str, dict[str, Any]]]:
        _loadmat()
        folder = find_dataset_folder(Path(source))
        first_image = first_annotation = 1
        for split in SPLITS:
            data = _split(folder, split, images / split, first_image, first_annotation, track, imported)
            first_image += len(data["images"])
            first_annotation += len(data["annotations"])
            yield split, data


def _split(
    source: Path, split: str, images: Path, image_id: int, annotation_id: int, track: Track, imported: Imported
) -> dict[str, Any]:
    images.mkdir()
    data: dict[str, Any] = {"info": {"description": f"Semantic Boundaries Dataset, {split}"}, "images": [], "annotations": []}
    data["categories"] = [{"id": number, "name": name} for number, name in PASCAL.items()]
    for name in track(_names(source / f"{split}.txt"), split):
        image = source / "img" / f"{name}.jpg"
        width, height = _size(image)
        ids, classes = _instances(source / "inst" / f"{name}.mat", height, width)
        if ids.max(initial=0) > len(classes):
            imported.left_out.append(f"{split}: {name}: pixels of instances above {len(classes)}, the last that has a class")
        data["images"].append({"id": image_id, "file_name": image.name, "width": width, "height": height})
        for number, label in enumerate(classes, 1):
            mask = ids == number
            if not mask.any():
                imported.left_out.append(f"{split}: {name}: instance {number} ({PASCAL[label]}) has no pixels")
                continue
            data["annotations"].append(_annotation(mask, annotation_id, image_id, label))
            annotation_id += 1
        _link(image, images / image.name)
        image_id += 1
    return data


def _annotation(mask: np.ndarray, annotation_id: int, image_id: int, label: int) -> dict[str, Any]:
    (encoded,) = rle.encode(mask[None])
    box = coco_mask.toBbox({**encoded, "counts": encoded["counts"].encode("ascii")}).tolist()
    record = {"id": annotation_id, "image_id": image_id, "category_id": label, "iscrowd": 0}
    return {**record, "area": int(mask.sum()), "bbox": box, "segmentation": encoded}


def _names(path: Path) -> list[str]:
    names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    for number, name in enumerate(names, 1):
        if "/" in name or "\\" in name or name.startswith("."):
            raise DatasetError(f"{path}: line {number}: {name!r} is no image name; unpack the download again")
    if len(set(names)) != len(names):
        raise DatasetError(f"{path}: an image is listed twice; unpack the download again")
    return names


def _size(image: Path) -> tuple[int, int]:
    """(width, height), read only from the header."""
    try:
        with Image.open(image, formats=["JPEG"]) as opened:
            return opened.size
    except FileNotFoundError:
        raise DatasetError(f"{image}: the image is missing; unpack the download again") from None
    except OSError as error:
        raise DatasetError(f"{image}: not readable as a JPEG ({error}); unpack the download again") from None


def _instances(path: Path, height: int, width: int) -> tuple[np.ndarray, list[int]]:
    """((H, W) instance numbers, class 1..20 of each instance)."""
    try:
        with open(path, "rb") as file:
            held = _loadmat()(file)["GTinst"][0, 0]
        ids, classes = np.asarray(held["Segmentation"]), np.asarray(held["Categories"]).ravel().astype(np.int64).tolist()
        wrong = _wrong(ids, classes, height, width)
    except FileNotFoundError:
        raise DatasetError(f"{path}: the annotation is missing; unpack the download again") from None
    except Exception as error:  # scipy raises whatever its parser stumbles over
        raise DatasetError(f"{path}: no struct GTinst can be read from it ({type(error).__name__}: {error})") from None
    if wrong:
        raise DatasetError(f"{path}: {wrong}; unpack the download again")
    return ids, classes


def _wrong(ids: np.ndarray, classes: list[int], height: int, width: int) -> str:
    if ids.shape != (height, width):
        return f"Segmentation is {ids.shape}, the image (height, width) ({height}, {width})"
    if any(label not in PASCAL for label in classes):
        return f"Categories {classes} has a class outside 1..{len(PASCAL)}"
    return ""


def _link(source: Path, target: Path) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)


def _loadmat() -> Callable[[Any], dict[str, Any]]:
    try:
        from scipy.io import loadmat
    except ModuleNotFoundError:
        raise UserError("reading SBD's .mat files needs scipy: pip install 'yolact-workbench[sbd]'") from None
    return loadmat
