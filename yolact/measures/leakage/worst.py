"""The worst cases of a measure, kept as pictures while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yolact.data.coco import Instances
from yolact.runtime.files import write_npz
from yolact.structures import Detections

KEPT = 12
"""Cases of each sort."""
MARGIN = 0.25
"""Of the picture beyond object and box, as a fraction of their common side."""
SORTS = ("leak", "merged")


class Worst:
    """The KEPT objects with the largest value in each of SORTS, with what is to be seen there."""

    def __init__(self) -> None:
        self.cases: dict[str, list[tuple[float, dict[str, NDArray[Any]]]]] = {sort: [] for sort in SORTS}

    def offer(
        self,
        image_id: int,
        image: Tensor,
        found: Detections,
        place: int,
        truth: Instances,
        annotation: int,
        row: dict[str, Any],
    ) -> None:
        """One object that a detection found; kept where it is among the worst. Among equals the first stays.

        Args:
            image: (3, H, W) uint8.
            place: of the detection among those found.
            annotation: of the object among the annotations.
            row: its values by name; one of SORTS that it lacks is passed over.
        """
        for sort, cases in self.cases.items():
            value = row.get(sort)
            if not value or (len(cases) == KEPT and value <= cases[-1][0]):
                continue
            arrays = _picture(image, found, place, truth, annotation)
            cases.append((value, {**arrays, "value": np.array(value), "image_id": np.array(image_id)}))
            cases.sort(key=lambda case: -case[0])
            del cases[KEPT:]

    def write(self, path: Path) -> None:
        """worst.npz: `{sort}_{i}_{name}`, i from the worst on; names image, mask, truth, box, value, image_id."""
        arrays = {
            f"{sort}_{number}_{name}": array
            for sort, cases in self.cases.items()
            for number, (_, case) in enumerate(cases)
            for name, array in case.items()
        }
        write_npz(path, arrays)


def _picture(image: Tensor, found: Detections, place: int, truth: Instances, annotation: int) -> dict[str, NDArray[Any]]:
    """What surrounds the object and the box that found it: image (h, w, 3), masks (h, w), the box in pixels of this cut."""
    box = found.boxes[place].cpu()
    both = torch.stack([box, truth.boxes[annotation]])
    low, high = both[:, :2].amin(0), both[:, 2:].amax(0)
    margin = MARGIN * float((high - low).max()) + 4
    height, width = image.shape[-2:]
    x1, y1 = (int(max(0, value - margin)) for value in low.tolist())
    x2, y2 = (int(min(side, value + margin + 1)) for side, value in zip((width, height), high.tolist(), strict=True))
    own = truth.patches.kept(number == annotation for number in range(len(truth)))
    masks = found.masks
    if masks is None:
        raise ValueError("detections were made without masks")
    return {
        "image": image[:, y1:y2, x1:x2].permute(1, 2, 0).numpy(),
        "mask": masks[place, y1:y2, x1:x2].cpu().numpy(),
        "truth": own.cut(y1, x1, y2, x2).dense()[0].bool().numpy(),
        "box": (box - torch.tensor([x1, y1, x1, y1])).numpy(),
    }
