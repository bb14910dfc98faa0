"""Prototypes of a few images, kept with the coefficients and masks of what was found there, for the report to draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yolact.config.inference import InferenceConfig
from yolact.config.measure import PrototypesConfig
from yolact.files import write_json, written_aside
from yolact.model import Model
from yolact.structures import Detections

SCORE_THRESHOLD = 0.15
"""Detections below this score are left out: the official code's choice for pictures."""
MOST_DETECTIONS = 20
"""Detections kept per image, the best first."""


class Split(Protocol):
    """What is asked of a data set; `yolact.data.coco.CocoSplit` is one."""

    image_ids: list[int]
    class_names: list[str]

    def image(self, image_id: int) -> Tensor:
        """(3, H, W) uint8 RGB."""

    def count(self, image_id: int) -> int:
        """How many annotations an image has."""


def collect(
    folder: Path | str,
    model: Model,
    split: Split,
    inference: InferenceConfig,
    config: PrototypesConfig,
    device: torch.device | str,
) -> dict[str, Any]:
    """Predict in the images with most annotations and write prototypes.npz and summary.json into `folder`.

    `docs/architecture.md` gives the arrays. A model without prototypes leaves those and the coefficients out. The model stays
    where it is: on `device`, in inference mode.

    Returns:
        What summary.json holds: per image its id and size, the detections found and kept, and the shape of the prototypes.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    image_ids = most_annotated(split, config.images)
    arrays: dict[str, NDArray[Any]] = {
        "image_ids": np.array(image_ids, np.int64),
        "class_names": np.array(split.class_names, str),
    }
    images = []
    for place, image_id in enumerate(image_ids):
        image = split.image(image_id)
        found = model.predict([image.to(device)], inference, keep_prototypes=True)[0]
        kept = picture_worthy(found)
        arrays |= {f"{place}_{name}": array for name, array in _arrays(image, kept).items()}
        shape = None if kept.prototypes is None else list(kept.prototypes.shape)
        images.append(
            {
                "image_id": image_id,
                "height": image.shape[-2],
                "width": image.shape[-1],
                "found": len(found),
                "kept": len(kept),
                "prototypes": shape,
            }
        )
    with written_aside(folder / "prototypes.npz") as aside, open(aside, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    summary = {"score_threshold": SCORE_THRESHOLD, "images": images}
    write_json(folder / "summary.json", summary)
    return summary


def most_annotated(split: Split, count: int) -> list[int]:
    """Ids of the images with most annotations, most first; among equals the lower id."""
    return sorted(split.image_ids, key=lambda image_id: (-split.count(image_id), image_id))[:count]


def picture_worthy(found: Detections) -> Detections:
    """The best detections of at least SCORE_THRESHOLD, at most MOST_DETECTIONS."""
    count = min(MOST_DETECTIONS, int((found.scores >= SCORE_THRESHOLD).sum()))
    return Detections(
        boxes=found.boxes[:count],
        scores=found.scores[:count],
        labels=found.labels[:count],
        masks=None if found.masks is None else found.masks[:count],
        coefficients=None if found.coefficients is None else found.coefficients[:count],
        prototypes=found.prototypes,
    )


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
