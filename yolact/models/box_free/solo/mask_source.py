"""The interface of what makes the masks of cells: it is where SOLO, decoupled SOLO and SOLOv2 differ.

n images, K cells of all levels, E numbers of a kernel, q cells of one level in one image.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class MaskSource(nn.Module):
    """Makes maps of an image, and from these the mask of any cell."""

    map_count: int | None = None
    """Number k of the maps of the whole image, (n, k, h, w), if masks are the sigmoid of their combinations by kernels:
    prototypes and coefficients of YOLACT, so that their measures work."""
    map_source = 5
    """The coarsest pyramid level that they are made of."""
    outside_forward: tuple[str, ...] = ()
    """Names of modules that `context` and `kernels` do not call."""

    def initialise(self) -> None:
        """Draw the weights."""
        raise NotImplementedError

    def context(self, pyramid: Sequence[Tensor], levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What masks are made of, first dimension n.

        Args:
            pyramid: P2 to P6, (n, c, h, w) each.
            levels: the same as the head reads them (`towers.spread`).
        """
        raise NotImplementedError

    def kernels(self, levels: Sequence[Tensor], grids: Sequence[int]) -> Tensor:
        """(n, K, E): predicted per cell, if any; otherwise E = 0."""
        return levels[0].new_zeros(len(levels[0]), sum(side * side for side in grids), 0)

    def masks(
        self, context: Sequence[Tensor], kernels: Tensor, level: int, cells: Tensor, size: tuple[int, int] | None = None
    ) -> Tensor:
        """Probabilities (q, h, w) of cells of one image.

        Args:
            context: of this image, without the batch dimension.
            kernels: (q, E) of these cells.
            level: from 0.
            cells: (q,) int64: places in the level's grid, row by row.
            size: what they are resized to after the sigmoid; None leaves them at the size that is learned.
        """
        raise NotImplementedError
