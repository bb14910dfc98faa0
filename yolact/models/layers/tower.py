"""The towers of dense heads: convolutions of one width, shared by all levels."""

from __future__ import annotations

from torch import nn


def tower(channels: int, convs: int, groups: int | None, bias: bool = True) -> nn.Sequential:
    """3x3 convolutions, each followed by GroupNorm, if `groups` are given, and ReLU."""
    layers: list[nn.Module] = []
    for _ in range(convs):
        norm = [] if groups is None else [nn.GroupNorm(groups, channels)]
        layers += [nn.Conv2d(channels, channels, 3, padding=1, bias=bias), *norm, nn.ReLU()]
    return nn.Sequential(*layers)
