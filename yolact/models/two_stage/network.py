"""Parts of two-stage detectors: a pyramid on our backbones, anchors at the true strides, the RPN."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from yolact.config.model.two_stage import RCNNConfig
from yolact.models.backbones import build_backbone


def build_rpn(channels: int, anchors: Anchors, **changes: Any) -> RegionProposalNetwork:
    """The RPN with torchvision's settings of Faster R-CNN, or others in `changes`, its head's weights drawn."""
    settings: dict[str, Any] = {
        "fg_iou_thresh": 0.7,
        "bg_iou_thresh": 0.3,
        "batch_size_per_image": 256,
        "positive_fraction": 0.5,
        "pre_nms_top_n": {"training": 2000, "testing": 1000},
        "post_nms_top_n": {"training": 2000, "testing": 1000},
        "nms_thresh": 0.7,
    }
    head = RPNHead(channels, anchors.num_anchors_per_location()[0])
    return RegionProposalNetwork(anchors, head, **(settings | changes))


class Pyramid(nn.Module):
    """The `body` and `fpn` of an R-CNN: C3..C5 to P3..P5, with C2 and P2 if configured, and pooled levels above.

    Args:
        config: backbone, channels, and the number of levels.
        pretrained: False leaves the backbone at random weights.
        norm: of a number of channels, after each convolution.
        path: what the levels to P5 go through before levels are pooled from them.
    """

    def __init__(
        self,
        config: RCNNConfig,
        pretrained: bool,
        norm: Callable[[int], nn.Module] | None = None,
        path: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.body = build_backbone(config.backbone, pretrained, c2=config.finest_level == 2)
        self.names = config.backbone_levels
        above = Above(len(config.anchor_sizes) - len(self.names), path)
        self.fpn = FeaturePyramidNetwork(list(self.body.channels), config.channels, extra_blocks=above, norm_layer=norm)


class Above(ExtraFPNBlock):
    """The way through `path`, if there is one, and levels above P5, each every second value of the one below."""

    def __init__(self, count: int, path: nn.Module | None) -> None:
        super().__init__()
        self.count, self.path = count, path

    def forward(self, results: list[Tensor], x: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        results, names = list(self.path(results) if self.path else results), list(names)
        for _ in range(self.count):
            results.append(F.max_pool2d(results[-1], kernel_size=1, stride=2))
            names.append(f"P{int(names[-1][1:]) + 1}")
        return results, names


class Anchors(AnchorGenerator):
    """Anchors at the true strides. torchvision's are side // cells, which is true where every stride divides the side.

    Args:
        sizes: sides in input pixels, for each level.
        stride: of the first level; each further level has twice that of the one before.
    """

    def __init__(self, sizes: Sequence[Sequence[float]], stride: int = 8) -> None:
        super().__init__(tuple(map(tuple, sizes)), ((0.5, 1.0, 2.0),) * len(sizes))
        self.stride = stride

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        first = feature_maps[0]
        strides = [[torch.tensor(self.stride << level, device=first.device)] * 2 for level in range(len(feature_maps))]
        self.set_cell_anchors(first.dtype, first.device)
        anchors = torch.cat(self.grid_anchors([list(level.shape[-2:]) for level in feature_maps], strides))
        return [anchors for _ in image_list.image_sizes]
