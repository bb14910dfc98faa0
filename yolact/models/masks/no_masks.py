"""The mask branch left out: a detector of boxes. Source: reference issues 196 and 682, which ask for such a training."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from yolact.config.inference import InferenceConfig
from yolact.models.one_stage.mask_branch import MaskBranch, MaskTargets


class NoMaskBranch(MaskBranch):
    """No parameters, no maps, no loss, no masks: detections are boxes alone."""

    parameters_per_anchor = 0
    maps_section = None

    def maps(self, levels: Sequence[Tensor]) -> None:
        return None

    def activate(self, raw: Tensor) -> Tensor:
        return raw

    def loss(self, targets: MaskTargets) -> Tensor:
        return targets.parameters.sum()

    def assemble(
        self, parameters: Tensor, maps: Tensor | None, boxes: Tensor, size: tuple[int, int], config: InferenceConfig
    ) -> None:
        return None
