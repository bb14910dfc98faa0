"""Leakage and localisation failure: where masks spill over their objects, and where one mask takes in its neighbours.

Source: paper section 5, on cropping, and section 7, on localisation failure and leakage. One row per annotated object that is
no crowd. A detection finds an object by its box (`yolact.evaluation.objects`), so that a bad mask does not hide what it was
meant for. With M the detection's mask, G its object's mask, both in pixels of the image:

leak            |M outside G| / |M|; of it, `leak_same` lies on other objects of the class, `leak_other` on those of other
                classes, the rest on the background
spill           |U outside the detection's box| / |U|, U the same mask before the crop; only where masks are
                linear combinations of prototypes
merged          the largest share of a same-class neighbour's pixels inside the detection's box that M covers; only where the
                neighbour has at least MERGE_PIXELS pixels there
failed          found, but the mask's IoU with its object is below 0.5: localised by the box and not by the mask
neighbours      other objects of the class whose boxes touch the object's box
neighbour_iou   the largest IoU of the object's box with such a box
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from yolact.config.inference import InferenceConfig
from yolact.data.coco import Instances
from yolact.evaluation.objects import MATCH_IOU, mask_iou, masks_of, match_objects
from yolact.measures.context import Look, steps
from yolact.measures.leakage import LeakageConfig
from yolact.measures.leakage.worst import Worst
from yolact.models.masks.prototypes import masks_again
from yolact.runtime.files import write_csv, write_json
from yolact.structures import Detections

COLUMNS = ("image_id", "object", "label", "area", "neighbours", "neighbour_iou", "found", "score", "box_iou", "mask_iou",
           "failed", "leak", "leak_same", "leak_other", "merged", "spill", "uncropped_iou")  # fmt: skip
AVERAGED = ("leak", "leak_same", "leak_other", "merged", "spill", "mask_iou", "uncropped_iou")
"""Columns whose mean over the objects that have them is in the summary."""
MERGE_PIXELS = 20
"""Pixels of a neighbour inside a box below which covering them says nothing."""
Row = dict[str, Any]


def measure(folder: Path, look: Look, config: LeakageConfig) -> None:
    """Write leakage.csv (one row per object, columns COLUMNS, empty where undefined), worst.npz and summary.json into `folder`.

    Raises:
        UserError: the network makes no masks.
        Stopped: asked to.
    """
    inference = look.inference.replace(masks=True)
    rows: list[Row] = []
    worst = Worst()
    image_ids = look.split.image_ids[: config.images]
    for image_id in steps(look, image_ids):
        image, truth = look.split.image(image_id), look.split.instances(image_id)
        found = look.predictor.predict([image.to(look.device)], inference)[0]
        masks_of(found, "leakage")
        own, pairs = matched_pairs(found, truth)
        by_object = {row["object"]: row for row in rows_of(own, pairs, truth, inference)}
        rows += [{"image_id": image_id, **row} for row in by_object.values()]
        for place, annotation in enumerate(pairs.tolist()):
            worst.offer(image_id, image, own, place, truth, annotation, by_object[annotation])
    write_csv(folder / "leakage.csv", rows, COLUMNS)
    worst.write(folder / "worst.npz")
    write_json(folder / "summary.json", _summary(rows, len(image_ids)))


def matched_pairs(found: Detections, truth: Instances) -> tuple[Detections, Tensor]:
    """The q detections that find an object, on the CPU but for the prototypes, and (q,) int64 which."""
    matched = match_objects(found, truth)
    kept = torch.nonzero(matched >= 0).flatten()
    return found[kept], matched[kept]


def rows_of(own: Detections, pairs: Tensor, truth: Instances, inference: InferenceConfig) -> list[Row]:
    """One row per object of an image, in the order of its annotations, without the image's id.

    Args:
        own: q detections that find an object, with masks.
        pairs: (q,) int64 their objects.
    """
    real = truth.masks.bool()
    overlap = box_iou(truth.boxes, truth.boxes).nan_to_num(0.0)
    same = truth.labels[:, None] == truth.labels
    overlap[~same | truth.crowd | torch.eye(len(truth), dtype=torch.bool)] = 0
    rows: dict[int, Row] = {
        number: {
            "object": number,
            "label": int(truth.labels[number]),
            "area": int(real[number].sum()),
            "neighbours": int((overlap[number] > 0).sum()),
            "neighbour_iou": float(overlap[number].max()),
            "found": 0,
        }
        for number in range(len(truth))
        if not truth.crowd[number]
    }
    if not len(own):
        return list(rows.values())
    masks = masks_of(own, "leakage").cpu()
    whole = None if own.coefficients is None else masks_again(own, inference.replace(crop=False))
    for place, number in enumerate(pairs.tolist()):
        mask, box = masks[place], own.boxes[place].cpu()
        others = real.clone()
        others[number] = False
        rows[number] |= {
            "found": 1,
            "score": float(own.scores[place]),
            "box_iou": float(box_iou(box[None], truth.boxes[number : number + 1])),
            "mask_iou": float(mask_iou(mask[None], real[number : number + 1])),
            **_leak(mask, real[number], others & same[number][:, None, None], others & ~same[number][:, None, None]),
            "merged": _merged(mask, others[same[number] & ~truth.crowd], _inside(box, mask.shape)),
        }
        rows[number]["failed"] = int(rows[number]["mask_iou"] < MATCH_IOU)
        if whole is not None:
            uncropped = whole[place].cpu()
            rows[number] |= _spill(uncropped, _inside(box, mask.shape))
            rows[number]["uncropped_iou"] = float(mask_iou(uncropped[None], real[number : number + 1]))
    return list(rows.values())


def _leak(mask: Tensor, own: Tensor, same: Tensor, other: Tensor) -> Row:
    """Shares of (H, W) `mask` outside `own`; crowds count with their class. Undefined for an empty mask."""
    size = int(mask.sum())
    if not size:
        return {}
    out = mask & ~own
    on_same = out & same.any(0)
    on_other = out & ~on_same & other.any(0)
    return {name: int(part.sum()) / size for name, part in (("leak", out), ("leak_same", on_same), ("leak_other", on_other))}


def _merged(mask: Tensor, neighbours: Tensor, inside: Tensor) -> float | None:
    within = (neighbours & inside).flatten(1).sum(1)
    covered = (neighbours & inside & mask).flatten(1).sum(1)
    counted = within >= MERGE_PIXELS
    return float((covered[counted] / within[counted]).max()) if bool(counted.any()) else None


def _spill(uncropped: Tensor, inside: Tensor) -> Row:
    size = int(uncropped.sum())
    return {"spill": int((uncropped & ~inside).sum()) / size} if size else {}


def _inside(box: Tensor, size: torch.Size) -> Tensor:
    """(H, W) bool: pixels whose centre lies in a box (4,) xyxy."""
    x1, y1, x2, y2 = box
    y, x = torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5
    return ((y >= y1) & (y <= y2))[:, None] & ((x >= x1) & (x <= x2))


def _summary(rows: list[Row], images: int) -> dict[str, Any]:
    counts = Counter({"objects": len(rows), "found": sum(row["found"] for row in rows)})
    counts["failed"] = sum(row.get("failed", 0) for row in rows)
    means = {name: _mean(rows, name) for name in AVERAGED}
    return {"images": images, **counts, **means}


def _mean(rows: list[Row], name: str) -> float | None:
    values = [row[name] for row in rows if row.get(name) is not None]
    return float(np.mean(values)) if values else None
