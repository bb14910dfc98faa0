"""RetinaNet's losses of boxes: L1, smooth L1, and the smooth L1 that adjusts itself to how far off the boxes are.

q positives. Source: Lin et al., "Focal Loss for Dense Object Detection" (ICCV 2017); Fu et al., "RetinaMask" (2019),
`layers/adjust_smooth_l1_loss.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

SMALLEST_BETA = 1e-3
"""The official code's; the paper clips at 0."""


def smooth_l1(distance: Tensor, beta: Tensor | float) -> Tensor:
    """Half the square over `beta` below it, distance less half of `beta` above."""
    return torch.where(distance < beta, 0.5 * distance.square() / beta, distance - 0.5 * beta)


class SelfAdjustingSmoothL1(nn.Module):
    """Smooth L1 whose beta follows the running mean of each coordinate's distances, less their running variance.

    Args:
        beta: the largest that it can be, and where it starts.
        share: of a batch's mean and variance in the running ones.
        before_use: a call adjusts beta before its own loss, in training mode. Otherwise `update` does, between steps.
    """

    mean: Tensor
    """(4,) running mean of distances, in units of the offsets; stored with the weights, as is `variance`."""
    variance: Tensor

    def __init__(self, beta: float, share: float, before_use: bool) -> None:
        super().__init__()
        self.largest, self.share, self.before_use = beta, share, before_use
        self.register_buffer("mean", torch.full((4,), beta))
        self.register_buffer("variance", torch.zeros(4))
        self.seen: Tensor | None = None

    def forward(self, distance: Tensor) -> Tensor:
        """(q, 4) losses of distances between made and wanted offsets (q, 4)."""
        if self.training:
            self._observe(distance.detach().double())
        return smooth_l1(distance, self.beta())

    def beta(self) -> Tensor:
        """(4,)"""
        return (self.mean - self.variance).clamp(SMALLEST_BETA, self.largest)

    def _observe(self, distance: Tensor) -> None:
        count = distance.new_full((1,), len(distance))
        sums = torch.cat([count, distance.sum(dim=0), distance.square().sum(dim=0)])
        if self.before_use:
            self.update(sums.tolist())
        else:
            self.seen = sums if self.seen is None else self.seen + sums

    def observed(self) -> list[float]:
        """Number, sums and sums of squares (9 values) of the distances of all calls since this was last called."""
        sums, self.seen = self.seen, None
        return [0.0] * 9 if sums is None else sums.tolist()

    @torch.no_grad()
    def update(self, sums: Sequence[float]) -> None:
        """Adjust beta to what `observed` gave, added up over a batch; fewer than two positives have no variance and change
        nothing, nor do values that are not finite."""
        count = sums[0]
        total, squares = torch.tensor(sums[1:], dtype=torch.float64).split(4)
        if count < 2:
            return
        mean, variance = total / count, (squares - total.square() / count) / (count - 1)
        if mean.isfinite().all() and variance.isfinite().all():
            for running, new in ((self.mean, mean), (self.variance, variance.clamp(min=0))):
                running.lerp_(new.to(running), self.share)
