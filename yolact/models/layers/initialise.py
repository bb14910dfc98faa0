"""Initialisation of weights."""

from __future__ import annotations

import math

from torch import nn


def he(module: nn.Module) -> None:
    """Normal weights of variance 2 / fan-in and zero biases for a convolution, as `xavier`."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def xavier(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases for a convolution; leaves other modules as they are. Use with `Module.apply`."""
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def normal(module: nn.Module, std: float = 0.01) -> None:
    """Weights of mean 0 and standard deviation `std`, and zero biases, as `xavier`."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=std)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def set_prior(conv: nn.Conv2d, probability: float = 0.01) -> None:
    """The bias at which a sigmoid starts at `probability`."""
    assert conv.bias is not None
    nn.init.constant_(conv.bias, -math.log((1 - probability) / probability))
