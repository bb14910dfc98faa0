"""torchvision's Mask R-CNN put together on our backbones; `yolact/models/two_stage/mask_rcnn.py` says how it differs from
torchvision's own."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from yolact.config.model import MaskRCNNConfig
from yolact.models.backbones import build_backbone

BACKBONE_LEVELS = ("P3", "P4", "P5")
"""Pyramid levels that stand on the backbone, and that regions are pooled from."""

_BOX_POOL, _MASK_POOL = 7, 14


def build_detector(config: MaskRCNNConfig, num_classes: int, pretrained: bool) -> detection.MaskRCNN:
    """The detector with all its weights drawn, the backbone's loaded unless `pretrained` is False."""
    channels = config.channels
    pool = partial(MultiScaleRoIAlign, list(BACKBONE_LEVELS), sampling_ratio=2)
    sizes = tuple((size,) for size in config.anchor_sizes)
    return detection.MaskRCNN(
        _Pyramid(config, pretrained),
        rpn_anchor_generator=_Anchors(sizes, ((0.5, 1.0, 2.0),) * len(sizes)),
        box_batch_size_per_image=config.regions_per_image,
        box_roi_pool=pool(output_size=_BOX_POOL),
        box_head=TwoMLPHead(channels * _BOX_POOL**2, config.representation),
        box_predictor=FastRCNNPredictor(config.representation, num_classes + 1),
        mask_roi_pool=pool(output_size=_MASK_POOL),
        mask_head=MaskRCNNHeads(channels, (channels,) * 4, dilation=1),
        mask_predictor=MaskRCNNPredictor(channels, channels, num_classes + 1),
    )


class _Pyramid(nn.Module):
    """The `body` and `fpn` that torchvision's detector asks its backbone to be."""

    def __init__(self, config: MaskRCNNConfig, pretrained: bool) -> None:
        super().__init__()
        self.body = build_backbone(config.backbone, pretrained)
        pooled = len(config.anchor_sizes) - len(BACKBONE_LEVELS)
        self.fpn = FeaturePyramidNetwork(list(self.body.channels), config.channels, extra_blocks=_Pools(pooled))
        self.out_channels = config.channels


class _Pools(ExtraFPNBlock):
    """Levels above P5, each every second value of the one below."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, results: list[Tensor], x: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        results, names = list(results), list(names)
        for _ in range(self.count):
            results.append(F.max_pool2d(results[-1], kernel_size=1, stride=2))
            names.append(f"P{len(names) + 3}")
        return results, names


class _Anchors(AnchorGenerator):
    """Anchors at the true strides. torchvision's are side // cells, which is true where every stride divides the side."""

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        first = feature_maps[0]
        strides = [[torch.tensor(8 << level, device=first.device)] * 2 for level in range(len(feature_maps))]
        self.set_cell_anchors(first.dtype, first.device)
        anchors = torch.cat(self.grid_anchors([list(level.shape[-2:]) for level in feature_maps], strides))
        return [anchors for _ in image_list.image_sizes]
