"""Deformable 3x3 convolutions in the place of a ResNet's own: each tap reads at a learned offset, times a learned factor.

Source: YOLACT++ (TPAMI 2020) section on deformable convolutions; reference `backbone.py`, `external/DCNv2/dcn_v2.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import DeformConv2d, deform_conv2d

from yolact.config.model.parts import DeformableConfig
from yolact.models.backbones.backbone import Backbone
from yolact.models.backbones.resnet import ResNet, TinyResNet


class DeformableConv2d(DeformConv2d):
    """(n, c, h, w) to (n, o, h', w'): torchvision's operator with offsets and factors made of its own input.

    Offsets and factors start at 0 and, if modulated, one half; weights are those of the convolution that it replaces. A bias is
    added although batch norm follows. Samples outside the map are 0. Computed in float32 where the input has fewer bits.

    Args:
        conv: the convolution replaced; its weight becomes this module's.
        modulated: multiply each sample by a factor.
    """

    def __init__(self, conv: nn.Conv2d, modulated: bool) -> None:
        sizes: Any = (conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation)
        super().__init__(*sizes, groups=conv.groups)
        self.weight = conv.weight
        nn.init.zeros_(self.bias)
        taps = self.kernel_size[0] * self.kernel_size[1]
        self.offsets, outputs = 2 * taps, 3 * taps if modulated else 2 * taps
        # the official name; dilated by 1 also where the taps are further apart
        side, stride = self.kernel_size[0], conv.stride[0]
        self.conv_offset_mask = nn.Conv2d(conv.in_channels, outputs, side, stride, side // 2)
        nn.init.zeros_(self.conv_offset_mask.weight)
        nn.init.zeros_(self.conv_offset_mask.bias)  # type: ignore[arg-type]

    def forward(self, input: Tensor) -> Tensor:  # type: ignore[override]
        wide = torch.promote_types(input.dtype, torch.float32)  # the operator knows no bfloat16
        made = self.conv_offset_mask(input).to(wide)
        factors = made[:, self.offsets :].sigmoid() if made.shape[1] > self.offsets else None
        weight, bias = self.weight.to(wide), self.bias.to(wide)
        sizes: Any = (self.stride, self.padding, self.dilation)
        out = deform_conv2d(input.to(wide), made[:, : self.offsets], weight, bias, *sizes, mask=factors)
        return out.to(input.dtype)


def deformable_blocks(count: int, last: int, interval: int) -> list[int]:
    """Numbers of the deformable blocks among the `count` of a stage (reference `backbone.py` _make_layer).

    Args:
        last: how many of the stage's last blocks may be deformable.
        interval: of these, those whose number it divides; block 0 only where `last` is all of them.
    """
    return [block for block in range(count) if block + last >= count and block % interval == 0]


def make_deformable(backbone: Backbone, config: DeformableConfig) -> None:
    """Replace `conv2` in the blocks that `config` names by deformable convolutions with its weights, in place."""
    for stage, last in zip(_stages(backbone), config.last_blocks, strict=True):
        for number in deformable_blocks(len(stage), last, config.interval):
            block: Any = stage[number]
            block.conv2 = DeformableConv2d(block.conv2, config.modulated)


def learned_anew(backbone: Backbone) -> set[str]:
    """Names of the weights that a file of the same backbone without deformable convolutions lacks."""
    return {
        f"{name}.{key}"
        for name, module in backbone.named_modules()
        if isinstance(module, DeformableConv2d)
        for key in module.state_dict()
        if key != "weight"
    }


def _stages(backbone: Backbone) -> list[list[nn.Module]]:
    """The residual blocks of the four stages."""
    if isinstance(backbone, TinyResNet):
        return [[block] for block in backbone.stages]
    assert isinstance(backbone, ResNet)
    return [list(layer) for layer in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4)]
