"""The protonet: a small fully convolutional network that draws k prototype masks for the whole image.

Source: paper section 3.1; reference config `mask_proto_net`.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from yolact.config.mask_branch import PrototypeConfig


class Protonet(nn.Module):
    """(n, c, h, w) pyramid level to (n, k, 2h, 2w) prototypes."""

    def __init__(self, config: PrototypeConfig, in_channels: int) -> None:
        super().__init__()
        widths = [in_channels] + [config.channels] * config.depth
        self.before = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.after = nn.Conv2d(config.channels, config.channels, 3, padding=1)
        self.output = nn.Conv2d(config.channels, config.k, 1)
        self.activation = F.relu if config.prototype_activation == "relu" else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        for conv in self.before:
            features = F.relu(conv(features))
        features = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
        return self.activation(self.output(F.relu(self.after(features))))
