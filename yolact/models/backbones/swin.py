"""Swin-T: torchvision's."""

from __future__ import annotations

import torchvision
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from yolact.models.backbones.backbone import Backbone
from yolact.ops.anchors import Sizes


class Swin(Backbone):
    """torchvision's Swin transformer without its classifier; each map is normalised, as detectors do.

    No block is dropped at random in training, which would depend on how a batch is split.
    """

    c2_channels = 96
    channels = (192, 384, 768)

    def __init__(self, network: torchvision.models.SwinTransformer) -> None:
        super().__init__()
        self.features = network.features
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in (96, 192, 384, 768))
        for module in self.modules():
            if isinstance(module, StochasticDepth):
                module.p = 0.0

    def forward(self, images: Tensor) -> list[Tensor]:
        maps, found = images, []
        for number, part in enumerate(self.features):  # an embedding or a merging of patches before each stage
            maps = part(maps)
            if number % 2:
                found.append(self.norms[number // 2](maps).permute(0, 3, 1, 2))
        return self.chosen(found)

    def level_sizes(self, side: int) -> Sizes:
        """The embedding leaves out pixels behind the last whole patch; every merging rounds up."""
        sides = [side // 4]
        for _ in range(3):
            sides.append((sides[-1] + 1) // 2)
        return [(each, each) for each in (sides if self.gives_c2 else sides[1:])]
