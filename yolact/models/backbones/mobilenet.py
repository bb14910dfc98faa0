"""MobileNetV2: torchvision's."""

from __future__ import annotations

import torchvision
from torch import Tensor, nn

from yolact.models.backbones.backbone import Backbone


class MobileNetV2(Backbone):
    """torchvision's MobileNetV2 without its last 1x1 convolution and classifier."""

    c2_channels = 24
    channels = (32, 96, 320)

    def __init__(self, network: torchvision.models.MobileNetV2) -> None:
        super().__init__()
        self.features = network.features[:18]

    def forward(self, images: Tensor) -> list[Tensor]:
        c2 = self.features[:4](images)
        c3 = self.features[4:7](c2)
        c4 = self.features[7:14](c3)
        return self.chosen([c2, c3, c4, self.features[14:](c4)])

    @property
    def last_stage(self) -> nn.Module:
        return self.features[14:]
