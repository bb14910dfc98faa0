"""The values that pass between data, models and measurements.

Shapes: n instances, k prototypes, (H, W) the original image, (S, S) the network's input, (h, w) the prototypes.
Boxes are float32 xyxy (x1, y1, x2, y2), x to the right, y downwards, the origin at the image's top left corner.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Target:
    """Ground truth of one image, in the frame of the network's input."""

    boxes: Tensor
    """(n, 4) float32 xyxy in pixels of the (S, S) input, inside [0, S]."""
    labels: Tensor
    """(n,) int64 in [0, num_classes): contiguous, background not counted. A crowd keeps its category's label."""
    masks: Tensor
    """(n, S, S) uint8, 0 or 1."""
    crowd: Tensor
    """(n,) bool: COCO `iscrowd` regions, which are ignored rather than learned."""
    image_id: int
    seed: int = 0
    """Drives what is drawn at random for this image in the loss (which positives enter the mask loss)."""

    def to(self, device) -> Target:
        """The same target with its tensors on `device`."""
        return self._with_each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Target:
        """The same target in page-locked memory, from which a GPU copies while the host goes on."""
        return self._with_each(lambda tensor: tensor.pin_memory())

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Boxes, labels, masks, crowd."""
        return self.boxes, self.labels, self.masks, self.crowd

    def _with_each(self, change: Callable[[Tensor], Tensor]) -> Target:
        boxes, labels, masks, crowd = map(change, self.tensors)
        return Target(boxes, labels, masks, crowd, self.image_id, self.seed)


@dataclass(frozen=True)
class Detections:
    """Detections of one image, best score first. One type for every method."""

    boxes: Tensor
    """(n, 4) float32 xyxy in pixels of the original image, clamped to it."""
    scores: Tensor
    """(n,) float32 in [0, 1], descending."""
    labels: Tensor
    """(n,) int64 in [0, num_classes)."""
    masks: Tensor | None
    """(n, H, W) bool at the original image's size; None if only boxes were requested."""
    coefficients: Tensor | None = None
    """(n, k) float32: the weights of the prototypes in each mask; None if masks are not linear combinations."""
    prototypes: Tensor | None = None
    """(k, h, w) float32: the maps of the whole image that the masks are made of, as linear combinations (prototypes) or
    otherwise (bases, mask features); None from methods without such maps."""
    mask_scores: Tensor | None = None
    """(n,) float32: the second score of re-scoring methods, by which masks are ranked; None from the others. In [0, 1], but for
    mask scoring, whose predicted IoU has no bounds."""

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: Tensor | slice) -> Detections:
        """Select detections by a mask (n,) bool, indices (q,) int64 on any device, or a slice; the prototypes stay whole."""
        if not isinstance(index, slice) and not (isinstance(index, Tensor) and index.ndim == 1):
            raise TypeError(f"detections are selected by a mask (n,), indices (q,) or a slice, not {type(index).__name__}")

        def rows(name: str, part: Tensor) -> Tensor:
            if name == "prototypes":
                return part
            return part[index if isinstance(index, slice) else index.to(part.device)]

        return self._with_each(rows)

    def to(self, device: Any) -> Detections:
        """The same detections with their tensors on `device`."""
        return self._with_each(lambda _, part: part.to(device))

    def _with_each(self, change: Callable[[str, Tensor], Tensor]) -> Detections:
        return replace(self, **{name: change(name, part) for name, part in vars(self).items() if part is not None})
