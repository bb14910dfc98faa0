"""One split of a COCO-format data set: images, instances, categories."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pycocotools.coco import COCO
from torch import Tensor

from yolact.data.annotations import read_annotations
from yolact.data.check import check_data
from yolact.data.findings import DatasetError, stop_on_errors
from yolact.data.images import image_path, read_image
from yolact.data.patches import Patches
from yolact.data.segmentation import to_rle


@dataclass(frozen=True)
class Instances:
    """What is annotated in one image, in pixels of the image as it is read; n may be 0."""

    boxes: Tensor
    """(n, 4) float32 xyxy, clipped to the image."""
    labels: Tensor
    """(n,) int64 in [0, number of categories)."""
    patches: Patches
    """Their masks."""
    crowd: Tensor
    """(n,) bool."""

    @property
    def masks(self) -> Tensor:
        """(n, H, W) uint8, 0 or 1; made anew at each call."""
        return self.patches.dense()

    def __len__(self) -> int:
        return len(self.labels)


class CocoSplit:
    """Images and instances by image id. Loading checks the split, without unpacking images, and refuses one with errors.

    Labels number the categories by ascending id: label i is `category_ids[i]`, called `class_names[i]`.

    Args:
        images: folder that file names are relative to; None where only annotations are needed (evaluation).
        annotations: a file in COCO's instances format.

    Raises:
        DatasetError: naming the first record with an error (`yolact.data.check` defines them).
    """

    def __init__(self, images: Path | None, annotations: Path) -> None:
        data = read_annotations(annotations)
        stop_on_errors(check_data(images, annotations, data, decode=False))
        self._folder = None if images is None else Path(images)
        self._file = Path(annotations)
        self.coco = index(_complete(data))
        """The split as pycocotools has it."""
        self.image_ids: list[int] = sorted(self.coco.imgs)
        self.category_ids: list[int] = sorted(self.coco.cats)
        self.class_names: list[str] = [self.coco.cats[category]["name"] for category in self.category_ids]
        self._labels = {category: label for label, category in enumerate(self.category_ids)}

    def __len__(self) -> int:
        return len(self.image_ids)

    def size(self, image_id: int) -> tuple[int, int]:
        """(height, width) in pixels."""
        record = self._image_record(image_id)
        return record["height"], record["width"]

    def image(self, image_id: int) -> Tensor:
        """The image as (3, H, W) uint8, RGB.

        Raises:
            DatasetError: if the file cannot be read, or the split was opened without images.
        """
        if self._folder is None:
            raise DatasetError(f"{self._file}: opened without an images folder; name one to read image {image_id}")
        return read_image(image_path(self._folder, self._image_record(image_id)["file_name"]), self.size(image_id))

    def count(self, image_id: int) -> int:
        """How many annotations an image has, crowds included."""
        return len(self.coco.imgToAnns.get(image_id, ()))

    def instances(self, image_id: int) -> Instances:
        """The annotations of an image in the order of the file."""
        annotations = self.coco.imgToAnns.get(image_id, [])
        height, width = self.size(image_id)
        boxes = np.array([annotation["bbox"] for annotation in annotations], np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        boxes = np.clip(boxes, 0, [width, height, width, height]).astype(np.float32)
        rles = [to_rle(annotation["segmentation"], height, width) for annotation in annotations]
        return Instances(
            boxes=torch.from_numpy(boxes),
            labels=torch.tensor([self._labels[annotation["category_id"]] for annotation in annotations], dtype=torch.int64),
            patches=Patches.of_rles(rles, height, width),
            crowd=torch.tensor([bool(annotation["iscrowd"]) for annotation in annotations], dtype=torch.bool),
        )

    def _image_record(self, image_id: int) -> dict[str, Any]:
        try:
            return self.coco.imgs[image_id]
        except KeyError:
            raise DatasetError(f"{self._file}: there is no image {image_id}; it has {len(self.image_ids)} others") from None


def _complete(data: dict[str, Any]) -> dict[str, Any]:
    """Fill in what `check` only warns about: a missing iscrowd is 0; where an annotation's id is 0, all ids shift by one."""
    shift = int(any(annotation["id"] == 0 for annotation in data["annotations"]))
    for annotation in data["annotations"]:
        annotation["id"] += shift
        annotation.setdefault("iscrowd", 0)
    return data


def index(data: dict[str, Any]) -> COCO:
    """A COCO object of parsed annotations, made without printing."""
    coco = COCO()
    coco.dataset = data
    with contextlib.redirect_stdout(io.StringIO()):  # createIndex prints
        coco.createIndex()
    return coco
