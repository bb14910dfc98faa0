"""What the detector asks of a mask branch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from yolact.config.inference import InferenceConfig


@dataclass(frozen=True)
class MaskTargets:
    """What the mask loss of a batch sees: q positive anchors, g objects without crowds, of n images; input of side S."""

    parameters: Tensor
    """(q, m) of the positive anchors, activated; image by image."""
    maps: Tensor | None
    """(n, k, h, w) shared maps of the images, where the branch has them."""
    counts: Sequence[int]
    """Positives in each of the n images."""
    objects: Tensor
    """(q,) int64: each positive's object."""
    boxes: Tensor
    """(g, 4) xyxy fractions of the objects."""
    decoded: Tensor
    """(q, 4) xyxy fractions: the boxes predicted by the positive anchors, without gradient."""
    masks: Tensor
    """(g, S, S) uint8 of the objects."""
    seeds: Sequence[int]
    """Of the n images; each drives any random choice among its image's positives."""


class MaskBranch(nn.Module):
    """Turns features into per-anchor parameters and shared maps, gives its loss, assembles masks."""

    parameters_per_anchor: int
    """Outputs m that the prediction head makes per anchor for this branch."""
    maps_section: str | None
    """Name under which the making of shared maps is timed; None where there are none."""

    def maps(self, levels: Sequence[Tensor]) -> Tensor | None:
        """Shared maps (n, k, h, w) from the pyramid levels (n, c, h, w), finest first."""
        raise NotImplementedError

    def activate(self, raw: Tensor) -> Tensor:
        """Parameters (n, P, m) from the head's raw outputs of the same shape."""
        raise NotImplementedError

    def loss(self, targets: MaskTargets) -> Tensor:
        """Weighted loss summed over the positives of the batch: a float32 scalar, to be divided by their number.

        Must not fail on parameters or maps that aren't finite; the caller sees to it that the loss then isn't either.
        """
        raise NotImplementedError

    def assemble(
        self, parameters: Tensor, maps: Tensor | None, boxes: Tensor, size: tuple[int, int], config: InferenceConfig
    ) -> Tensor | None:
        """Masks (n, H, W) bool of detections with parameters (n, m) and boxes (n, 4), xyxy fractions, in an image (H, W).

        None where the branch makes no masks.
        """
        raise NotImplementedError
