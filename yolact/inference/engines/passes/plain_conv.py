"""Which convolutions the engines know how to compute otherwise."""

from __future__ import annotations

from typing import TypeGuard

from torch import nn


def is_plain(conv: nn.Module | None) -> TypeGuard[nn.Conv2d]:
    """Whether it is a 3x3 convolution of neighbours, bordered by zeros, that keeps the map's size."""
    if type(conv) is not nn.Conv2d or conv.groups != 1 or conv.padding_mode != "zeros":
        return False
    return (conv.kernel_size, conv.stride, conv.padding, conv.dilation) == ((3, 3), (1, 1), (1, 1), (1, 1))
