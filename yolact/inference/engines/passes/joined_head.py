"""An anchor head whose last convolutions, which read the same features, are one.

With deferred parameters, the mask parameters are not computed at all: the features that they are made of take their place, so
that those of chosen anchors can be computed after suppression.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolact.inference.engines.chosen_parameters import cells_of
from yolact.inference.engines.passes.plain_conv import is_plain
from yolact.models.one_stage.dense_head import Dense
from yolact.models.one_stage.heads.anchor_head import AnchorHead

_VECTOR = 16
"""Numbers of float32 in a register of 512 bits."""


def deferrable(head: nn.Module | None) -> nn.Conv2d | None:
    """The convolution that makes the mask parameters of all anchors, if `JoinedHead` can leave it out; else None."""
    return head.mask if type(head) is AnchorHead and is_plain(head.mask) else None


class JoinedHead(nn.Module):
    """What `head` computes, up to rounding.

    Args:
        head: stays as it is; its inner convolutions are shared.
        masks: False leaves out the mask parameters.
        deferred: returns (n, cells + 1, c) features, as `cells_of` lays them out, in place of the parameters.
    """

    def __init__(self, head: AnchorHead, masks: bool, deferred: bool) -> None:
        super().__init__()
        mask = head.mask if masks and not deferred else None
        last = [conv for conv in (head.box, head.classification, mask) if conv is not None]
        self.shared, self.joined = head.shared, _joined(last)
        self.channels, self.columns = [conv.out_channels for conv in last], head.columns
        self.deferred = masks and deferred

    def forward(self, levels: Sequence[Tensor], masks: bool = True) -> Dense:
        levels = [self._features(level) for level in levels]
        box, logits, *parameters = (torch.cat(part, dim=1) for part in zip(*map(self._level, levels), strict=True))
        if self.deferred:
            return Dense(box, logits, cells_of(levels), None)
        return Dense(box, logits, parameters[0] if parameters else box[..., :0], None)

    def _features(self, level: Tensor) -> Tensor:
        for conv in self.shared:
            level = F.relu(conv(level))
        return level

    def _level(self, level: Tensor) -> list[Tensor]:
        rows = self.joined(level).permute(0, 2, 3, 1)
        maps = rows[..., : sum(self.channels)].split(self.channels, dim=-1)
        return [each.reshape(len(level), -1, columns) for each, columns in zip(maps, self.columns, strict=False)]


def _joined(convs: Sequence[nn.Conv2d]) -> nn.Conv2d:
    """One convolution with the outputs of all, and more up to whole vectors of 16, without which kernels are a third slower."""
    made = deepcopy(convs[0])
    weight, bias = torch.cat([conv.weight for conv in convs]), torch.cat([conv.bias for conv in convs])  # type: ignore[misc]
    missing = -len(bias) % _VECTOR
    made.weight = nn.Parameter(F.pad(weight, (0, 0, 0, 0, 0, 0, 0, missing)), requires_grad=False)
    made.bias = nn.Parameter(F.pad(bias, (0, missing)), requires_grad=False)
    made.out_channels = len(made.bias)
    return made
