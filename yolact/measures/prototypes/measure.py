"""Prototypes of a few images, kept with the coefficients and masks of what was found there, for the report to draw."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from yolact.data.coco import CocoSplit
from yolact.measures.context import Look, steps
from yolact.measures.prototypes import PrototypesConfig
from yolact.runtime.files import write_json, written_aside
from yolact.structures import Detections

SCORE_THRESHOLD = 0.15
"""Detections below this score are left out: the official code's choice for pictures."""
MOST_DETECTIONS = 20
"""Detections kept per image, the best first."""


def measure(folder: Path | str, look: Look, config: PrototypesConfig) -> dict[str, Any]:
    """Predict in the images with most annotations and write prototypes.npz and summary.json into `folder`.

    `__init__.py` gives the arrays. A model without maps leaves the prototypes out, one whose masks are no
    linear combinations of its maps the coefficients. One image is held
    in memory at a time, so hundreds are affordable: 50 kB each on the disk at 128 px, about 1 MB at 550 px.

    Returns:
        What summary.json holds: per image its id and size, the detections found and kept, and the shape of the prototypes.

    Raises:
        Stopped: `look` asked to stop.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    image_ids = most_annotated(look.split, config.images)
    images = []
    with written_aside(folder / "prototypes.npz") as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
        _append(archive, "image_ids", np.array(image_ids, np.int64))
        _append(archive, "class_names", np.array(look.split.class_names, str))
        for place, image_id in enumerate(steps(look, image_ids)):
            image = look.split.image(image_id)
            found = look.predictor.predict([image.to(look.device)], look.inference)[0]
            kept = picture_worthy(found)
            for name, array in _arrays(image, kept).items():
                _append(archive, f"{place}_{name}", array)
            images.append(_described(image_id, image, found, kept))
    summary = {"score_threshold": SCORE_THRESHOLD, "images": images}
    write_json(folder / "summary.json", summary)
    return summary


def _described(image_id: int, image: Tensor, found: Detections, kept: Detections) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "height": image.shape[-2],
        "width": image.shape[-1],
        "found": len(found),
        "kept": len(kept),
        "prototypes": None if kept.prototypes is None else list(kept.prototypes.shape),
    }


def _append(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    """Add one array to an .npz file, so that only one image is held in memory at a time."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)


def most_annotated(split: CocoSplit, count: int) -> list[int]:
    """Ids of the images with most annotations, most first; among equals the lower id."""
    return sorted(split.image_ids, key=lambda image_id: (-split.count(image_id), image_id))[:count]


def picture_worthy(found: Detections) -> Detections:
    """The best detections of at least SCORE_THRESHOLD, at most MOST_DETECTIONS."""
    count = min(MOST_DETECTIONS, int((found.scores >= SCORE_THRESHOLD).sum()))
    return found[:count]


def _arrays(image: Tensor, kept: Detections) -> dict[str, NDArray[Any]]:
    parts: dict[str, Tensor | None] = {
        "image": image.permute(1, 2, 0),
        "prototypes": kept.prototypes,
        "coefficients": kept.coefficients,
        "masks": kept.masks,
        "boxes": kept.boxes,
        "scores": kept.scores,
        "labels": kept.labels,
    }
    return {name: np.ascontiguousarray(part.cpu().numpy()) for name, part in parts.items() if part is not None}
