"""Replace modules inside a network."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def replace_modules(network: nn.Module, replacement: Callable[[nn.Module], nn.Module | None]) -> None:
    """Put `replacement(module)` in the place of every module inside `network` for which it is not None, in place."""
    for parent in list(network.modules()):
        for name, module in list(parent.named_children()):
            made = replacement(module)
            if made is not None:
                setattr(parent, name, made)
