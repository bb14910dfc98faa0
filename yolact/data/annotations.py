"""Reads an annotation file and says what is wrong with its records, without looking at images.

COCO's own files hold a few boxes of zero width or height, boxes that stick out by a fraction of a pixel, and areas that
differ a little from the masks'; such things are warnings, so that the published files pass.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from yolact.data.fields import Fault, area_fault, box_fault, is_integer, record_fault, reference_fault, size_fault
from yolact.data.findings import DatasetError, Findings
from yolact.data.segmentation import segmentation_fault

OUTSIDE = 1.0
"""Pixels by which a box may stick out of its image without a warning."""
ANNOTATION = ("id", "image_id", "category_id", "segmentation", "bbox", "area")
"""Fields that every annotation of a data set needs."""


def read_annotations(path: Path) -> dict[str, Any]:
    """The parsed annotation file.

    Raises:
        DatasetError: if it is missing, unreadable, not JSON, or lacks one of the three lists.
    """
    try:
        data = json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise DatasetError(f"{path}: the annotation file is missing; put it there or correct the path") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); make it a readable file") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: not valid JSON ({error}); write the file again") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise DatasetError(f"{path}: there is no list {key!r} at the top; write it in COCO's instances format")
    return data


def check_records(path: Path, data: dict[str, Any]) -> Findings:
    """Everything wrong with the records of a file that `read_annotations` has read."""
    findings = Findings(Path(path))
    categories = _check_categories(data["categories"], findings)
    images = _check_images(data["images"], findings)
    used: Counter = Counter()
    seen: set[int] = set()
    for index, annotation in enumerate(data["annotations"]):
        record = _name("annotation", index, annotation)
        if isinstance(annotation, dict) and is_integer(annotation.get("image_id")):
            record += f" of image {annotation['image_id']}"
        if _noted(record_fault(annotation, ANNOTATION), record, findings):
            continue
        _check_id(annotation["id"], seen, record, findings)
        _check_annotation(annotation, record, images, categories, findings)
        if is_integer(annotation["category_id"]):
            used[annotation["category_id"]] += 1
    _check_use(data, used, categories, findings)
    return findings


def _check_use(data: dict, used: Counter, categories: dict[int, str], findings: Findings) -> None:
    if not data["images"]:
        findings.error("images", "the list is empty", "add image records")
    for category_id, name in categories.items():
        if not used[category_id]:
            findings.warning(f"category {category_id} ({name})", "no annotation uses it", "remove it unless another split does")
    if any(isinstance(a, dict) and a.get("id") == 0 for a in data["annotations"]):
        findings.warning("annotation 0", "COCO's evaluator takes id 0 for no match", "number from 1; here all shift by one")
    if any(isinstance(a, dict) and "iscrowd" not in a for a in data["annotations"]):
        findings.warning("annotations", "some have no 'iscrowd'", "write 0 or 1; 0 is taken")


def _check_categories(records: list, findings: Findings) -> dict[int, str]:
    names: dict[int, str] = {}
    seen: set[int] = set()
    for index, category in enumerate(records):
        record = _name("category", index, category)
        if _noted(record_fault(category, ("id", "name")), record, findings):
            continue
        if not isinstance(category["name"], str) or not category["name"]:
            findings.error(record, f"the name is {category['name']!r}", "give it a text")
        elif category["name"] in names.values():
            findings.warning(record, f"another category is called {category['name']!r} too", "give each its own name")
        if _check_id(category["id"], seen, record, findings):
            names[category["id"]] = str(category["name"])
    if not records:
        findings.error("categories", "the list is empty", "add a record {id, name} per class")
    return names


def _check_images(records: list, findings: Findings) -> dict[int, tuple[int, int]]:
    """(height, width) of every image whose record is sound."""
    sizes: dict[int, tuple[int, int]] = {}
    seen: set[int] = set()
    files: dict[str, str] = {}
    for index, image in enumerate(records):
        record = _name("image", index, image)
        if _noted(record_fault(image, ("id", "file_name", "width", "height")), record, findings):
            continue
        sound = not _noted(size_fault(image), record, findings)
        if not isinstance(image["file_name"], str):
            findings.error(record, f"file_name is {image['file_name']!r}", "write a path relative to the images folder")
        elif image["file_name"] in files:
            findings.error(record, f"{files[image['file_name']]} has the same file {image['file_name']!r}", "keep one of them")
        else:
            files[image["file_name"]] = record
        if _check_id(image["id"], seen, record, findings) and sound:
            sizes[image["id"]] = (image["height"], image["width"])
    return sizes


def _check_annotation(annotation: dict, record: str, images: dict, categories: dict, findings: Findings) -> None:
    _noted(reference_fault(annotation, "category_id", categories), record, findings)
    if annotation.get("iscrowd", 0) not in (0, 1) or isinstance(annotation.get("iscrowd", 0), float):
        findings.error(record, f"iscrowd is {annotation['iscrowd']!r}", "write 0 or 1")
    _noted(area_fault(annotation["area"]), record, findings)
    if _noted(reference_fault(annotation, "image_id", images), record, findings):
        return
    height, width = images[annotation["image_id"]]
    if not _noted(box_fault(annotation["bbox"]), record, findings):
        _check_place(annotation["bbox"], height, width, record, findings)
    _noted(segmentation_fault(annotation["segmentation"], height, width), record, findings)


def _check_place(box: list[float], height: int, width: int, record: str, findings: Findings) -> None:
    x, y, w, h = box
    if x >= width or y >= height or x + w < 0 or y + h < 0:
        findings.error(record, f"bbox {box} lies outside the {width} x {height} image", "correct the box or the image's size")
    elif w == 0 or h == 0:
        findings.warning(record, f"bbox {box} has no area", "it is left out of training; remove the annotation")
    elif x < -OUTSIDE or y < -OUTSIDE or x + w > width + OUTSIDE or y + h > height + OUTSIDE:
        findings.warning(record, f"bbox {box} sticks out of the {width} x {height} image", "it is clipped; write it so")


def _check_id(value: Any, seen: set[int], record: str, findings: Findings) -> bool:
    if not is_integer(value) or value < 0:
        findings.error(record, f"the id {value!r} is not an integer from 0", "number the records")
        return False
    if value in seen:
        findings.error(record, f"the id {value} is used twice", "give every record its own id")
        return False
    seen.add(value)
    return True


def _noted(fault: Fault | None, record: str, findings: Findings) -> bool:
    """Whether there is a fault; it becomes an error of the record."""
    if fault is None:
        return False
    findings.error(record, *fault)
    return True


def _name(kind: str, index: int, record: Any) -> str:
    if isinstance(record, dict) and is_integer(record.get("id")):
        return f"{kind} {record['id']}"
    return f"{kind} at position {index} of its list"
