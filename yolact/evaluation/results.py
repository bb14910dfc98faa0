"""Detections as records in COCO's result format, and back.

One record: {"image_id", "category_id", "score", "bbox": [x, y, width, height], "segmentation": compressed RLE}, lengths in
pixels of the original image. Detections without masks have no segmentation. Those of re-scoring methods also have a
"mask_score", by which masks are ranked in its place; COCO's own format has no such field.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from yolact.errors import UserError
from yolact.ops import rle
from yolact.structures import Detections

_DECIMALS = 3


class RecordError(UserError):
    """A file of detections is not what COCO's result format asks for. The message names the record by its place from 0."""


def to_records(detections: Detections, image_id: int, category_ids: Sequence[int]) -> list[dict[str, Any]]:
    """The detections of one image as n records, in their order.

    Boxes are rounded to a thousandth of a pixel. A score is the shortest decimal that reads back as the same float32, so
    that the ranking stays as it is.

    Args:
        category_ids: the data set's id of each contiguous label.
    """
    boxes = detections.boxes.double().cpu().numpy()
    sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).round(_DECIMALS)
    records: list[dict[str, Any]] = [
        {
            "image_id": image_id,
            "category_id": category_ids[label],
            "score": score,
            "bbox": box,
        }
        for label, score, box in zip(detections.labels.tolist(), _shortest(detections.scores), sides.tolist(), strict=True)
    ]
    if detections.mask_scores is not None:
        for record, score in zip(records, _shortest(detections.mask_scores), strict=True):
            record["mask_score"] = score
    if detections.masks is None:
        return records
    masks = rle.encode(detections.masks.cpu().numpy())
    return [{**record, "segmentation": mask} for record, mask in zip(records, masks, strict=True)]


def _shortest(scores: Tensor) -> list[float]:
    """float32 scores as the shortest decimals that read back as the same float32."""
    return [float(str(score)) for score in scores.float().cpu().numpy()]


def from_records(records: Sequence[dict[str, Any]], category_ids: Sequence[int], height: int, width: int) -> Detections:
    """The records of one (H, W) image as detections on the CPU, best score first, equal scores in the order given.

    Raises:
        RecordError: a category that is not in `category_ids`, or a mask that is not RLE of this size.
    """
    labels = {category: label for label, category in enumerate(category_ids)}
    order = sorted(range(len(records)), key=lambda index: -records[index]["score"])
    masks = np.zeros((len(order), height, width), dtype=bool)
    for place, index in enumerate(order):
        record = records[index]
        if record["category_id"] not in labels:
            raise RecordError(f"record {index}: category_id {record['category_id']} is not one of {list(category_ids)}")
        try:
            masks[place] = rle.decode(record.get("segmentation"), height, width)
        except ValueError as error:
            raise RecordError(f"record {index}: the segmentation {error}") from None
    boxes = np.array([records[index]["bbox"] for index in order], dtype=np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return Detections(
        boxes=torch.from_numpy(boxes).float(),
        scores=torch.tensor([records[index]["score"] for index in order], dtype=torch.float32),
        labels=torch.tensor([labels[records[index]["category_id"]] for index in order], dtype=torch.int64),
        masks=torch.from_numpy(masks),
        mask_scores=_mask_scores([records[index] for index in order]),
    )


def _mask_scores(records: Sequence[dict[str, Any]]) -> Tensor | None:
    scores = [record["mask_score"] for record in records if "mask_score" in record]
    return torch.tensor(scores, dtype=torch.float32) if scores and len(scores) == len(records) else None


def read_records(path: Path | str) -> list[dict[str, Any]]:
    """The records of a detections file.

    Raises:
        RecordError: the file cannot be read, is not JSON, or is not a list of objects.
    """
    try:
        records = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"{path}: cannot read the detections: {error.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: not a JSON file: {error}") from None
    if not isinstance(records, list):
        raise RecordError(f"{path}: COCO's result format is a list of records, found {type(records).__name__}")
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            raise RecordError(f"{path}: record {index}: expected an object, found {type(record).__name__}")
    return records
