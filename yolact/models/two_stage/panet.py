"""PANet: Mask R-CNN with path aggregation, adaptive feature pooling and fully connected fusion.

Levels start at P3 unless `finest_level` is 2, as in the paper. Source: arXiv 1803.01534; ShuLiu1993/PANet.
"""

from __future__ import annotations

from itertools import pairwise

from torchvision.models.detection.roi_heads import RoIHeads

from yolact.config.base import ConfigError
from yolact.config.model import PANetConfig
from yolact.models.necks.path_aggregation import PathAggregation
from yolact.models.two_stage.faster_rcnn import BOX_POOL, region_heads
from yolact.models.two_stage.mask_rcnn import MASK_POOL, MaskRCNN
from yolact.models.two_stage.network import Pyramid
from yolact.models.two_stage.panet_heads import (
    GroupedPool,
    MaskFusion,
    group_norm,
    heavy_box_head,
    light_box_head,
    mask_head,
)


class PANet(MaskRCNN):
    """Mask R-CNN whose pyramid and heads are PANet's."""

    config: PANetConfig

    def build_pyramid(self, pretrained: bool) -> Pyramid:
        config, norm = self.config, group_norm(self.config.groups)
        path = PathAggregation(config.channels, len(config.backbone_levels), norm) if config.bottom_up else None
        pyramid = Pyramid(config, pretrained, norm, path)
        sizes = pyramid.body.level_sizes(config.image_size)
        if config.bottom_up and any(
            coarse != ((rows + 1) // 2, (columns + 1) // 2) for (rows, columns), coarse in pairwise(sizes)
        ):
            raise ConfigError(
                f"bottom_up needs levels of half the side, rounded up, but {config.backbone.name} makes {sizes} cells of "
                f"{config.image_size} pixels: choose an image_size that 32 divides, or another backbone",
                "image_size",
            )
        return pyramid

    def build_heads(self) -> RoIHeads:
        config, norm = self.config, group_norm(self.config.groups)
        levels = [(name,) for name in config.backbone_levels] if config.adaptive_pooling else [config.backbone_levels]
        make = heavy_box_head if config.heavy_head else light_box_head
        box_head = make(len(levels), config.channels, BOX_POOL, config.representation, norm)
        heads = region_heads(config, GroupedPool(levels, BOX_POOL), box_head, self.num_classes)
        heads.mask_roi_pool = GroupedPool(levels, MASK_POOL)
        heads.mask_head = mask_head(len(levels), config.channels, norm)
        heads.mask_predictor = MaskFusion(config.channels, MASK_POOL, self.num_classes + 1, norm, config.fc_fusion)
        return heads
