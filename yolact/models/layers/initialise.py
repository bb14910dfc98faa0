"""Initialisation of weights."""

from __future__ import annotations

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


def normal(conv: nn.Conv2d, std: float) -> None:
    """Weights of mean 0 and standard deviation `std`, and zero biases."""
    nn.init.normal_(conv.weight, std=std)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
