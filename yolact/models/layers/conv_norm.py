"""3x3 convolutions with batch norm and ReLU, as the mask branches of AdelaiDet have them."""

from __future__ import annotations

from torch import nn


def conv_norm(before: int, after: int) -> nn.Sequential:
    """A 3x3 convolution without bias from `before` to `after` channels, batch norm, ReLU."""
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


def kaiming(module: nn.Module) -> None:
    """Uniform Kaiming weights (a = 1) for a convolution without bias; leaves other modules as they are.

    Use with `Module.apply`.
    """
    if isinstance(module, nn.Conv2d) and module.bias is None:
        nn.init.kaiming_uniform_(module.weight, a=1)
