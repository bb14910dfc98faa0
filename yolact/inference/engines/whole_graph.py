"""The part with weights of any one-stage model, prepared for compilation: pixels in, float32 raw outputs out.

`NetworkGraph` does more for anchor heads.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from yolact.inference.engines.network_graph import border, quicken
from yolact.inference.engines.passes.folding import fold_batch_norm
from yolact.models.one_stage.model import OneStage


class WholeGraph(nn.Module):
    """(n, 3, S, S) float32 RGB in 0..255 to the fields of `Dense`, without quality (n, 0), and the tensors of the context, all
    float32; `model` stays as it is. Batch norm of the backbone is folded in float32, then weights take `dtype` and the
    channels-last layout."""

    def __init__(self, model: OneStage, dtype: torch.dtype, masks: bool) -> None:
        super().__init__()
        network: Any = deepcopy(model).eval().requires_grad_(False)
        network.semantic = None  # serves in training only
        network.backbone = fold_batch_norm(network.backbone)
        for part in filter(None, (network.backbone, network.fpn, network.branch, network.head)):
            part.to(dtype=dtype, memory_format=torch.channels_last)
        if model.device.type == "cpu":
            quicken(network)
        self.network, self.dtype, self.masks = network, dtype, masks
        self.essence = network.config.essence(), str(dtype), masks, [border(each) for each in network.modules()]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        network = self.network
        pixels = (images - network.pixel_mean) / network.pixel_std
        levels = network.fpn(network.backbone(pixels.to(dtype=self.dtype, memory_format=torch.channels_last)))
        masks = self.masks and network.branch is not None
        context = network.branch.context(levels) if masks else ()
        box, logits, parameters, quality = network.head(levels, masks)
        parameters = network.branch.activate(parameters) if masks else parameters
        quality = box[..., 0, :0] if quality is None else quality
        return tuple(each.float().contiguous() for each in (box, logits, parameters, quality, *context))
