"""Coefficients as predicted, and the best there could be on the same prototypes.

Every detection's coefficients are kept; for those that find an object (`yolact.evaluation.objects`), also the best
coefficients within the range that the network can give, the best of any size, and the IoU that each reaches: as predicted, with
the best coefficients, and the limit that prototypes which span everything would meet (`yolact.interventions.oracle`). As a
control, the best coefficients on the prototypes of the image before: what k free numbers do without knowing this image.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

from yolact.config.inference import InferenceConfig
from yolact.data.coco import Instances
from yolact.evaluation.objects import mask_iou, masks_of, match_objects
from yolact.measures.coefficients import CoefficientsConfig
from yolact.measures.coefficients.fitting import best_coefficients, crop_fractions, limit_masks
from yolact.measures.context import Look, refuse_other_maps, steps
from yolact.ops import mask_assembly
from yolact.runtime.files import write_json, write_npz
from yolact.structures import Detections

Arrays = dict[str, NDArray[Any]]


def measure(folder: Path, look: Look, config: CoefficientsConfig) -> None:
    """Write coefficients.npz and summary.json into `folder`; `__init__.py` beside this gives the arrays.

    Raises:
        Stopped: asked to.
        UserError: masks are made of maps, but not by coefficients.
    """
    branch = look.model.prototypes
    if branch is None:
        refuse_other_maps(look.model, "coefficients")
        write_json(folder / "summary.json", {"prototypes": 0})
        return
    bound = branch.coefficient_bound
    inference = look.inference.replace(masks=True)
    image_ids = look.split.image_ids[: config.images]
    rows: list[Arrays] = []
    objects, before = 0, None
    for place, image_id in enumerate(steps(look, image_ids)):
        found = look.predictor.predict([look.split.image(image_id).to(look.device)], inference)[0]
        truth = look.split.instances(image_id)
        objects += int((~truth.crowd).sum())
        first = sum(len(one["score"]) for one in rows)
        rows.append(of_image(found, truth, inference, bound, before) | {"image": np.full(len(found), place)})
        rows[-1]["detection"] += first
        before = found.prototypes
    k = branch.map_count
    arrays = _joined(rows)
    arrays |= {"image_ids": np.array(image_ids, np.int64), "class_names": np.array(look.split.class_names, str)}
    write_npz(folder / "coefficients.npz", arrays)
    write_json(folder / "summary.json", _summary(arrays, k, bound, objects))


def of_image(
    found: Detections, truth: Instances, inference: InferenceConfig, bound: float, other: Tensor | None = None
) -> Arrays:
    """The arrays of one image's n detections, of which q find an object, as in coefficients.npz but for `image`.

    Args:
        other: (k, h, w) prototypes of another image.
    """
    matched = match_objects(found, truth)
    detection = torch.nonzero(matched >= 0).flatten()
    own = found[detection]
    annotation = matched[detection]
    masks = truth.masks[annotation].to(found.boxes.device)
    best = best_coefficients(own, masks, inference, bound)
    free = best_coefficients(best, masks, inference, math.inf)
    overlap = box_iou(own.boxes.cpu()[:, None], truth.boxes[annotation][:, None]).flatten()
    parts = {
        "coefficients": found.coefficients,
        "activation": activation(found, inference),
        "score": found.scores,
        "label": found.labels,
        "detection": detection,
        "object": annotation,
        "box_iou": overlap,
        "iou": mask_iou(masks_of(own, "coefficients"), masks.bool()),
        "best": best.coefficients,
        "best_iou": mask_iou(masks_of(best, "coefficients"), masks.bool()),
        "free": free.coefficients,
        "free_iou": mask_iou(masks_of(free, "coefficients"), masks.bool()),
        "other_iou": _iou_on_other(own, masks, inference, bound, other),
        "limit_iou": mask_iou(limit_masks(own, masks, inference), masks.bool()),
    }
    return {name: part.cpu().numpy() for name, part in parts.items() if part is not None}


def activation(found: Detections, inference: InferenceConfig) -> Tensor:
    """(n, k) mean |activation| of each prototype in the crop of each detection, over the whole map without a crop; 0 where the
    crop is empty."""
    prototypes = found.prototypes
    if prototypes is None:
        raise ValueError("detections were made without prototypes")
    inside = prototypes.new_ones((len(found), *prototypes.shape[-2:]))
    if inference.crop:
        inside = mask_assembly.crop(inside, crop_fractions(found), inference.crop_padding)
    flat = inside.flatten(1)
    return flat @ prototypes.abs().flatten(1).T / flat.sum(dim=1, keepdim=True).clamp(min=1)


def _iou_on_other(own: Detections, masks: Tensor, inference: InferenceConfig, bound: float, other: Tensor | None) -> Tensor:
    """(q,) mask IoU with the best coefficients on other prototypes; NaN without them."""
    if other is None or own.coefficients is None:
        return own.scores.new_full((len(own),), math.nan)
    blank = replace(
        own, prototypes=other, coefficients=torch.zeros_like(own.coefficients), masks=torch.zeros_like(masks, dtype=torch.bool)
    )
    made = best_coefficients(blank, masks, inference, bound)
    return mask_iou(masks_of(made, "coefficients"), masks.bool())


def _joined(rows: list[Arrays]) -> Arrays:
    """One array per name over all images."""
    if not rows:
        return {}
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _summary(arrays: Arrays, k: int, bound: float, objects: int) -> dict[str, Any]:
    matched = len(arrays["object"])
    share = arrays["coefficients"] * arrays["activation"]
    share = share[arrays["detection"]]
    total = float(np.abs(share).sum())
    names = ("iou", "best_iou", "free_iou", "other_iou", "limit_iou")
    means = {name: _mean(arrays[name]) for name in names}
    return {
        "prototypes": k,
        "range": None if math.isinf(bound) else bound,
        "images": len(arrays["image_ids"]),
        "objects": objects,
        "detections": len(arrays["score"]),
        "matched": matched,
        "subtracted": float(-share[share < 0].sum()) / total if total else None,
        **means,
    }


def _mean(values: NDArray[Any]) -> float | None:
    """The mean of those that are numbers; None without any."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
