"""Random weights whose outputs have usual sizes, for exports and benchmarks without trained weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models.resnet import Bottleneck

from yolact.models.base import Model
from yolact.structures import Target

_BRANCH_SCALE = 0.2
"""Of each residual branch of a ResNet, so that a hundred layers don't multiply the rounding of float32."""


def settle(model: Model) -> None:
    """Scale residual branches, set batch norm to the statistics of noise, and the model to inference mode."""
    for module in model.modules():
        if isinstance(module, Bottleneck):
            nn.init.constant_(module.bn3.weight, _BRANCH_SCALE)
    size = model.image_size
    noise = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1)) * 255
    nothing = torch.zeros(0, dtype=torch.long)
    target = Target(torch.zeros(0, 4), nothing, torch.zeros(0, size, size, dtype=torch.uint8), nothing.bool(), image_id=1)
    model.train()
    average_statistics(model, lambda: model.loss(noise, model.assign([target])))


def average_statistics(network: nn.Module, forward: Callable[[], object]) -> None:
    """Average the statistics of batch norm in training mode over one `forward`, then switch the network to inference mode."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = None  # the plain average
    with torch.no_grad():
        forward()
    network.eval()
