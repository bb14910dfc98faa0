"""Ground truth and detections for COCOeval: checked record by record, and in exactly the form it needs.

pycocotools trusts its input: an unknown image is an assertion, an annotation with id 0 can never be matched, and the area of a
detection comes from its box where it has one, which shifts mask AP between the sizes. What leaves this module has none of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from yolact.data.coco import index
from yolact.data.fields import Fault, area_fault, box_fault, is_integer, is_number, record_fault, reference_fault, size_fault
from yolact.data.segmentation import segmentation_fault, to_rle
from yolact.errors import UserError
from yolact.ops import rle

IouType = Literal["segm", "bbox"]
FIELD = {"segm": "segmentation", "bbox": "bbox"}
"""What of an annotation or a record each IoU type compares."""


class EvaluationError(UserError):
    """Ground truth or detections that cannot be evaluated; the message names the file, annotation or record."""


def iou_types(records: Sequence[dict[str, Any]]) -> tuple[IouType, ...]:
    """What the records can be evaluated by: masks, boxes or both. No records at all: both.

    Raises:
        EvaluationError: a record has neither, or lacks what the first one has.
    """
    if not records:
        return ("segm", "bbox")
    both: tuple[IouType, ...] = ("segm", "bbox")
    kinds = tuple(kind for kind in both if FIELD[kind] in records[0])
    if not kinds:
        raise EvaluationError("record 0 has neither segmentation nor bbox: each record needs at least one of them")
    for place, record in enumerate(records):
        for kind in kinds:
            if FIELD[kind] not in record:
                raise EvaluationError(f"record {place} has no {FIELD[kind]} but record 0 does: give it to all or to none")
    return kinds


def prepare_ground_truth(dataset: dict[str, Any], iou_type: IouType) -> COCO:
    """A COCO object with copies of the annotations, numbered from 1 in their order, with `iscrowd` and `area` filled in.

    A missing `iscrowd` is 0; a missing `area` is that of the mask, or of the box where there is no mask.

    Raises:
        EvaluationError: an annotation without image, category or the field that this IoU type needs, or a broken one.
    """
    images = _by_id(dataset["images"], "image")
    categories = _by_id(dataset["categories"], "category")
    annotations = []
    for place, annotation in enumerate(dataset["annotations"]):
        where = f"annotation {annotation.get('id', f'at place {place}') if isinstance(annotation, dict) else place}"
        _known(annotation, images, categories, where)
        copy = {**annotation, "id": place + 1, "iscrowd": int(annotation.get("iscrowd", 0) == 1)}
        if iou_type == "bbox":
            _refuse(where, box_fault(annotation.get("bbox")))
        if iou_type == "segm" or ("area" not in annotation and "segmentation" in annotation):
            copy["segmentation"] = _ground_truth_rle(annotation, images[annotation["image_id"]], where)
        copy["area"] = _area(copy, where)
        annotations.append(copy)
    return index({**dataset, "annotations": annotations})


def prepare_detections(dataset: dict[str, Any], records: Sequence[dict[str, Any]], iou_type: IouType) -> COCO:
    """A COCO object of the records, numbered from 1 in their order; `area` is the mask's for segm, the box's for bbox.

    `score` is what this IoU type ranks by: for segm `mask_score` if the records have it, else `score`.

    Raises:
        EvaluationError: naming a record of an unknown image or category, without a finite score, or whose box or RLE is
            malformed; or that some records have a mask_score and others don't.
    """
    images = _by_id(dataset["images"], "image")
    categories = _by_id(dataset["categories"], "category")
    rescored = iou_type == "segm" and any(isinstance(record, dict) and "mask_score" in record for record in records)
    rank_by = "mask_score" if rescored else "score"
    for place, record in enumerate(records):
        where = f"record {place}"
        _known(record, images, categories, where)
        if rescored and rank_by not in record:
            raise EvaluationError(f"{where} has no mask_score but others do: give it to all or to none")
        if not is_number(record.get(rank_by)):
            raise EvaluationError(f"{where}: {rank_by} must be a finite number, got {record.get(rank_by)!r}")
        if iou_type == "bbox":
            _refuse(where, box_fault(record.get("bbox")))
    if iou_type == "segm":
        areas = _mask_areas(records, images)
    else:
        areas = [float(record["bbox"][2] * record["bbox"][3]) for record in records]
    kept = ("image_id", "category_id", FIELD[iou_type])
    annotations = [
        {**{key: record[key] for key in kept}, "score": record[rank_by], "id": place + 1, "area": area, "iscrowd": 0}
        for place, (record, area) in enumerate(zip(records, areas, strict=True))
    ]
    return index({"images": dataset["images"], "categories": dataset["categories"], "annotations": annotations})


def _mask_areas(records: Sequence[dict[str, Any]], images: dict[int, dict[str, Any]]) -> list[float]:
    """The pixels of each record's mask, which is checked."""
    segmentations = [record.get("segmentation") for record in records]
    sizes = {image_id: _size(images[image_id]) for image_id in dict.fromkeys(record["image_id"] for record in records)}
    areas = rle.areas(segmentations, [sizes[record["image_id"]] for record in records])
    if areas is not None:
        return areas.astype(float).tolist()
    for place, (record, segmentation) in enumerate(zip(records, segmentations, strict=True)):
        wrong = rle.problem(segmentation, *sizes[record["image_id"]])
        if wrong:
            raise EvaluationError(f"record {place}: the segmentation {wrong}")
    # One mask at a time: pycocotools' area of a list counts its length in a byte under numpy 2.
    return [float(coco_mask.area(segmentation)) for segmentation in segmentations]


def _by_id(items: list[Any], kind: str) -> dict[int, dict[str, Any]]:
    for place, item in enumerate(items):
        if not isinstance(item, dict) or not is_integer(item.get("id")):
            raise EvaluationError(f"{kind} at place {place} of the annotations has no integer id")
    return {item["id"]: item for item in items}


def _known(item: Any, images: dict[int, Any], categories: dict[int, Any], where: str) -> None:
    _refuse(where, record_fault(item, ("image_id", "category_id")))
    _refuse(where, reference_fault(item, "image_id", images))
    _refuse(where, reference_fault(item, "category_id", categories))


def _size(image: dict[str, Any]) -> tuple[int, int]:
    _refuse(f"image {image['id']}", size_fault(image))
    return image["height"], image["width"]


def _ground_truth_rle(annotation: dict[str, Any], image: dict[str, Any], where: str) -> dict[str, Any]:
    size = _size(image)
    _refuse(where, segmentation_fault(annotation.get("segmentation"), *size))
    return to_rle(annotation["segmentation"], *size)


def _area(annotation: dict[str, Any], where: str) -> float:
    if "area" in annotation:
        _refuse(where, area_fault(annotation["area"]))
        return annotation["area"]
    if isinstance(annotation.get("segmentation"), dict):
        return float(coco_mask.area(annotation["segmentation"]))
    _refuse(where, box_fault(annotation.get("bbox")))
    return float(annotation["bbox"][2] * annotation["bbox"][3])


def _refuse(where: str, fault: Fault | None) -> None:
    if fault:
        raise EvaluationError(f"{where}: {fault}")
