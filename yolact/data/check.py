"""Says all that is wrong with a data set, before anyone trains on it: `yolact data check`."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image
from pycocotools import mask as coco_mask

from yolact.data.annotations import check_records, read_annotations
from yolact.data.fields import box_fault, is_integer, is_number
from yolact.data.findings import DatasetError, Finding, Findings
from yolact.data.images import image_path, open_image, orientation, read_pixels, shown_size, size_mismatch, verify_image
from yolact.data.segmentation import segmentation_fault, to_rle

AREA_RATIO, AREA_SLACK = 1.5, 32
"""A stated area disagrees when it is this many times the mask's, or the reverse, and at least so many pixels apart."""
BOX_SLACK = 3
"""Pixels by which a mask may reach out of its box without a warning."""
_ENDINGS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}


def check(images: Path | None, annotations: Path, decode: bool = True) -> list[Finding]:
    """All findings about one split.

    Args:
        images: folder that the records' file names are relative to; None checks the annotations alone.
        decode: unpack every image and every mask. Otherwise images are judged by their headers and last bytes,
            and only what that leaves in doubt is unpacked.
    """
    try:
        data = read_annotations(annotations)
    except DatasetError as error:
        return [_as_finding(Path(annotations), "", error)]
    return check_data(images, annotations, data, decode)


def check_data(images: Path | None, annotations: Path, data: dict[str, Any], decode: bool) -> list[Finding]:
    """As `check`, for an annotation file that has been read."""
    findings = check_records(annotations, data)
    if decode:
        _check_masks(data, findings)
    if images is not None:
        findings.found += _check_images(Path(images), Path(annotations), data["images"], decode)
    return findings.found


def check_splits(splits: Mapping[str, tuple[Path, Path]], decode: bool = True) -> list[Finding]:
    """All findings about {split name: (images folder, annotation file)}, each split by itself and all against each other."""
    found: list[Finding] = []
    seen: dict[Any, str] = {}
    classes: dict[str, list] = {}
    for name, (images, file) in splits.items():
        try:
            data = read_annotations(file)
        except DatasetError as error:
            found.append(_as_finding(Path(file), "", error))
            continue
        found += check_data(images, file, data, decode)
        classes[name] = sorted(((c.get("id"), c.get("name")) for c in data["categories"] if isinstance(c, dict)), key=repr)
        found += _shared_images(name, Path(images), Path(file), data["images"], seen, decode)
    for name, categories in classes.items():
        first = next(iter(classes))
        if categories != classes[first]:
            what = f"its categories are not those of the split {first!r}, so the same label would mean two things"
            found.append(Finding("error", Path(splits[name][1]), f"split {name}", what, "list the same ids and names in all"))
    return found


def _as_finding(file: Path, record: str, error: DatasetError) -> Finding:
    what, _, to_do = str(error).removeprefix(f"{file}: ").rpartition("; ")
    return Finding("error", file, record, what, to_do)


def _sound(records: list) -> Iterator[tuple[dict, str]]:
    """The image records whose fields can be used, with their names."""
    for image in records:
        fields = isinstance(image, dict) and isinstance(image.get("file_name"), str)
        if fields and all(is_integer(image.get(side)) for side in ("width", "height")):
            yield image, f"image {image.get('id')}"


def _check_masks(data: dict[str, Any], findings: Findings) -> None:
    sizes = {image.get("id"): (image["height"], image["width"]) for image, _ in _sound(data["images"])}
    for annotation in data["annotations"]:
        known = isinstance(annotation, dict) and is_integer(annotation.get("image_id")) and annotation["image_id"] in sizes
        if not known or segmentation_fault(annotation.get("segmentation"), *sizes[annotation["image_id"]]):
            continue
        record = f"annotation {annotation.get('id')} of image {annotation['image_id']}"
        rle = to_rle(annotation["segmentation"], *sizes[annotation["image_id"]])
        pixels = int(coco_mask.area(rle))
        if not pixels:
            findings.warning(record, "the polygons enclose no pixel centre", "remove the annotation; nothing can match it")
            continue
        area = annotation.get("area")
        if is_number(area) and _disagree(area, pixels):
            what = f"area is {area}, the mask has {pixels} pixels"
            findings.warning(record, what, "write the mask's area: it sets the size class")
        _check_box_holds(annotation.get("bbox"), coco_mask.toBbox(rle), record, findings)


def _disagree(area: float, pixels: int) -> bool:
    return abs(area - pixels) >= AREA_SLACK and not 1 / AREA_RATIO < area / pixels < AREA_RATIO


def _check_box_holds(box: Any, extent: Any, record: str, findings: Findings) -> None:
    if box_fault(box):
        return
    x, y, w, h = (float(value) for value in extent)
    out = max(box[0] - x, box[1] - y, x + w - box[0] - box[2], y + h - box[1] - box[3])
    if out > BOX_SLACK:
        what = f"the mask reaches {out:.0f} pixels out of bbox {box}"
        findings.warning(record, what, f"write the mask's own box {[x, y, w, h]}")


def _check_images(folder: Path, annotations: Path, records: list, decode: bool) -> list[Finding]:
    if not folder.is_dir():
        return [Finding("error", folder, "", "the images folder is missing", "put it there or correct the path")]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        per_image = pool.map(lambda each: _check_image(folder, annotations, each[0], each[1], decode), _sound(records))
        return [finding for findings in per_image for finding in findings]


def _check_image(folder: Path, annotations: Path, image: dict, record: str, decode: bool) -> list[Finding]:
    size = (image["height"], image["width"])
    try:
        path = image_path(folder, image["file_name"])
    except DatasetError as error:
        return [_as_finding(annotations, record, error)]
    findings = Findings(path)
    try:
        with open_image(path) as opened:
            _check_form(opened, size, record, findings)
            whole = _ends_well(path, opened.format)
        sound = all(finding.level == "warning" for finding in findings.found)
        if sound and (decode or not whole or findings.found):
            read_pixels(path, size)
        if sound and decode:
            verify_image(path)
    except DatasetError as error:
        findings.found.append(_as_finding(path, record, error))
    return findings.found


def _check_form(image: Image.Image, size: tuple[int, int], record: str, findings: Findings) -> None:
    stored, shown = (image.height, image.width), shown_size(image)
    if size not in (stored, shown):
        findings.error(record, size_mismatch(shown, size), "correct the record or the file")
        return
    if orientation(image) != 1:
        applied = "applied" if size == shown else "not applied: only the pixels as stored fit the record"
        what = f"EXIF orientation {orientation(image)} is {applied}"
        findings.warning(record, what, "store the pixels upright, without EXIF")
    if image.mode.startswith("I") or image.mode == "F":
        findings.warning(
            record, f"{image.mode} pixels: the high byte of 16 bits is used", "convert to 8 bits, stretched to fit"
        )
    elif image.mode in ("CMYK", "LAB", "HSV"):
        findings.warning(record, f"{image.mode} pixels are converted without a colour profile", "convert to RGB")
    elif image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        findings.warning(record, "the alpha channel is dropped, not blended", "flatten the image if that looks wrong")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        findings.warning(record, f"only the first of {frames} frames is used", "store one frame")


def _ends_well(path: Path, form: str | None) -> bool:
    """Whether the file's last bytes are those of a whole file; False where only unpacking can tell."""
    ending = _ENDINGS.get(form or "")
    if ending is None:
        return False
    with open(path, "rb") as file:
        file.seek(-min(len(ending), os.fstat(file.fileno()).st_size), os.SEEK_END)
        return file.read() == ending


def _shared_images(
    split: str, folder: Path, annotations: Path, records: list, seen: dict[Any, str], by_content: bool
) -> list[Finding]:
    """Images that an earlier split holds too, by path or, where asked, by their bytes."""
    findings = Findings(annotations)
    mine: dict[Any, str] = {}
    clashes: dict[str, list[str]] = defaultdict(list)
    for image, record in _sound(records):
        path = folder / image["file_name"]
        if not path.is_file():
            continue
        key = hashlib.sha256(path.read_bytes()).digest() if by_content else os.path.realpath(path)
        mine[key] = split
        if key in seen:
            clashes[seen[key]].append(record)
    seen.update(mine)
    for other, images in clashes.items():
        named = ", ".join(images[:5]) + (", ..." if len(images) > 5 else "")
        what = f"{len(images)} images are also in the split {other!r} ({named})"
        findings.warning(f"split {split}", what, "keep each image in one split, or results on it mean nothing")
    return findings.found
