"""What a convolution reads beyond the border of its input.

Zeros tell a convolution where the border is; mirrored, repeated or wrapped pixels do not (paper section
5, on emergent behavior).
Pooling pads with minus infinity, that is with nothing, and is left alone.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import DeformConv2d

from yolact.config.base import ConfigError
from yolact.config.model.parts import Padding


class BorderConv2d(nn.Conv2d):
    """A convolution whose input is mirrored, repeated or wrapped beyond its border. Takes the place of an `nn.Conv2d` and its
    parameters' names."""

    border: Padding

    def forward(self, input: Tensor) -> Tensor:
        rows, columns = (int(side) for side in self.padding)
        padded = _pad(_pad(input, columns, self.border, vertical=False), rows, self.border, vertical=True)
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def set_padding(network: nn.Module, padding: Padding) -> None:
    """Give every padded convolution inside `network` this padding, in place; weights stay the same tensors.

    Where a map is too small to be mirrored (as many pixels as are missing, or fewer), its border pixels are repeated.

    Raises:
        ConfigError: the network has deformable convolutions, which read zeros beyond the border.
    """
    if padding != "zeros" and any(isinstance(module, DeformConv2d) for module in network.modules()):
        raise ConfigError(f"padding {padding!r}: this network's deformable convolutions read zeros beyond the border")
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d) and any(side != 0 for side in child.padding):
                setattr(module, name, _with_border(child, padding))


def padding_of(network: nn.Module) -> Padding:
    """The padding that `set_padding` gave the network last."""
    return next((module.border for module in network.modules() if isinstance(module, BorderConv2d)), "zeros")


def _with_border(conv: nn.Conv2d, padding: Padding) -> nn.Conv2d:
    kind: Any = nn.Conv2d if padding == "zeros" else BorderConv2d
    sizes = (conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups)
    changed = kind(*sizes, bias=conv.bias is not None, device="meta")
    changed.weight, changed.bias = conv.weight, conv.bias
    changed.train(conv.training)
    if isinstance(changed, BorderConv2d):
        changed.border = padding
    return changed


def _pad(maps: Tensor, missing: int, border: Padding, vertical: bool) -> Tensor:
    """(n, c, h, w) with `missing` pixels more on both sides, above and below or left and right."""
    if not missing:
        return maps
    side = maps.shape[-2 if vertical else -1]
    mode = "replicate" if border == "reflect" and side <= missing else border
    while missing > side:  # a map can be wrapped only once at a time
        maps, missing = _pad(maps, side, border, vertical), missing - side
        side = maps.shape[-2 if vertical else -1]
    sides = (0, 0, missing, missing) if vertical else (missing, missing, 0, 0)
    return F.pad(maps, sides, mode=mode)
