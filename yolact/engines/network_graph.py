"""The part of a YOLACT network with weights, prepared for compilation: pixels in, float32 raw outputs out.

P anchors, C classes, m mask parameters per anchor, input of side S.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolact.branches.prototypes import PrototypeBranch
from yolact.engines.folding import fold_batch_norm
from yolact.engines.upsampled_conv import UpsampledConv, takes_the_place_of
from yolact.network import YolactModel
from yolact.protonet import Protonet


class NetworkGraph(nn.Module):
    """(n, 3, S, S) float32 RGB in 0..255 to offsets (n, P, 4), logits (n, P, C+1), parameters (n, P, m) and, where there are
    any, maps (n, k, h, w), all float32; `model` stays as it is.

    Batch norm is folded in float32, then weights take `dtype` and the channels-last layout.
    """

    def __init__(self, model: YolactModel, dtype: torch.dtype, masks: bool) -> None:
        super().__init__()
        network: Any = deepcopy(model).eval().requires_grad_(False)
        network.semantic = None  # serves in training only
        network.backbone = fold_batch_norm(network.backbone)
        if isinstance(network.branch, PrototypeBranch) and takes_the_place_of(network.branch.protonet.after):
            quick: Any = _QuickProtonet(network.branch.protonet)
            network.branch.protonet = quick
        for part in (network.backbone, network.fpn, network.branch, network.head):
            part.to(dtype=dtype, memory_format=torch.channels_last)
        self.network, self.dtype, self.masks = network, dtype, masks
        self.essence = network.config.essence(), str(dtype), masks, [_border(each) for each in network.modules()]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        pixels = (images - self.network.pixel_mean) / self.network.pixel_std
        pixels = pixels.to(dtype=self.dtype, memory_format=torch.channels_last)
        levels = self.network.fpn(self.network.backbone(pixels))
        branch = self.network.branch
        maps = branch.maps(levels) if self.masks else None
        offsets, logits, parameters = self.network.head(levels, self.masks)
        outputs = (offsets, logits, branch.activate(parameters), *(() if maps is None else (maps,)))
        return tuple(output.float().contiguous() for output in outputs)


def _border(module: nn.Module) -> str | None:
    """Padding isn't among the weights, and an intervention changes it."""
    return getattr(module, "border", None)


class _QuickProtonet(nn.Module):
    """A protonet whose upsampling and the convolution after it have changed places."""

    def __init__(self, protonet: Protonet) -> None:
        super().__init__()
        self.before, self.output, self.activation = protonet.before, protonet.output, protonet.activation
        self.upsample_and_convolve = UpsampledConv(protonet.after)

    def forward(self, features: Tensor) -> Tensor:
        for conv in self.before:
            features = F.relu(conv(features))
        return self.activation(self.output(F.relu(self.upsample_and_convolve(features))))
