"""CenterNet's neck for ResNets: three times a convolution and a transposed one, from C5 to stride 4.

Source: CenterNet `models/networks/resnet_dcn.py` _make_deconv_layer, fill_up_weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from yolact.config.model.boxes.centernet import UpsamplerConfig
from yolact.models.backbones.deformable import DeformableConv2d
from yolact.models.necks.neck import Neck
from yolact.ops.anchors import Sizes


class Upsampler(Neck):
    """One level, of stride 4 and `config.widths[-1]` channels."""

    def __init__(self, config: UpsamplerConfig, in_channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = config.widths[-1]
        layers: list[nn.Module] = []
        for channels, width in pairwise((in_channels[-1], *config.widths)):
            conv = nn.Conv2d(channels, width, 3, padding=1)
            layers += [DeformableConv2d(conv, modulated=True) if config.deformable else conv]
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
            layers += [nn.ConvTranspose2d(width, width, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def initialise(self) -> None:
        """The layers' own draws; then transposed convolutions interpolate, as the official code has it, in output channel 0."""
        for layer in self.layers:
            if isinstance(layer, nn.ConvTranspose2d):
                with torch.no_grad():
                    layer.weight[:, 0] = _bilinear(layer.kernel_size[0])

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [self.layers(features[-1])]

    def level_sizes(self, sizes: Sizes) -> Sizes:
        rows, columns = sizes[-1]
        return [(8 * rows, 8 * columns)]


def _bilinear(size: int) -> Tensor:
    """(size, size) kernel by which a transposed convolution of stride size / 2 interpolates."""
    factor = -(-size // 2)
    centre = (2 * factor - 1 - factor % 2) / (2 * factor)
    line = 1 - (torch.arange(size) / factor - centre).abs()
    return line[:, None] * line
