"""Small models and random ground truth for the tests of the library."""

from __future__ import annotations

import torch

from yolact.config import (
    AnchorConfig,
    BackboneConfig,
    CellHeadConfig,
    CellMatchingConfig,
    CenterHeadConfig,
    CenterNetConfig,
    DecoupledSoloConfig,
    DeformableConfig,
    DynamicMaskConfig,
    FCMaskConfig,
    FCOSConfig,
    FPNConfig,
    Mask2FormerConfig,
    MaskFeaturesConfig,
    PixelDecoderConfig,
    PointHeadConfig,
    PointMatchingConfig,
    PrototypeConfig,
    QueryDecoderConfig,
    QueryLossConfig,
    RescoringConfig,
    SoloConfig,
    Solov2Config,
    UpsamplerConfig,
    YolactConfig,
    YOLOv3Config,
    YOLOv3NeckConfig,
)
from yolact.inference.predictor import Predictor
from yolact.models.build import build_model
from yolact.structures import Target

SIZE = 64
TINY = YolactConfig(
    image_size=SIZE,
    backbone=BackboneConfig(name="resnet_tiny", weights=None, width=4),
    fpn=FPNConfig(channels=8),
    anchors=AnchorConfig(scales=((8,), (16,), (24,), (32,), (48,))),
    mask_branch=PrototypeConfig(k=4, channels=8),
)
"""A few thousand parameters; 258 anchors."""
TINY_PLUS = TINY.replace(
    backbone=BackboneConfig(name="resnet_tiny", weights=None, width=4, deformable=DeformableConfig()),
    anchors=AnchorConfig(scales=((8, 10), (16, 20), (24, 30), (32, 40), (48, 60)), square=False),
    mask_branch=PrototypeConfig(k=4, channels=8, rescoring=RescoringConfig(channels=(4, 8, 8), smallest_area=4)),
)
"""YOLACT++; 516 anchors, prototypes of 16 x 16."""
TINY_FC_MASK = TINY.replace(mask_branch=FCMaskConfig(size=4))
TINY_POINTS = FCOSConfig(
    image_size=SIZE,
    backbone=BackboneConfig(name="resnet_tiny", weights=None, width=4),
    fpn=FPNConfig(channels=16, extra_levels=0, upsample="nearest", relu=False),
    head=PointHeadConfig(convs=1, groups=2),
    matching=PointMatchingConfig(sizes_of_interest=(16, 32)),
    mask_branch=DynamicMaskConfig(channels=8, convs=1, coordinate_unit=2),
)
"""CondInst; 84 points."""
_CELLS = {
    "image_size": SIZE,
    "backbone": BackboneConfig(name="resnet_tiny", weights=None, width=16),
    "channels": 16,
    "head": CellHeadConfig(convs=1, width=16, groups=4),
    "matching": CellMatchingConfig(grids=(10, 9, 6, 4, 3), scale_ranges=((1, 8), (4, 16), (8, 32), (16, 64), (32, 2048))),
}
TINY_SOLO = SoloConfig(**_CELLS)
"""242 cells."""
TINY_DECOUPLED = DecoupledSoloConfig(**_CELLS)
TINY_SOLOV2 = Solov2Config(**_CELLS, mask_features=MaskFeaturesConfig(features=16, channels=16, groups=4))

TINY_YOLOV3 = YOLOv3Config(
    image_size=SIZE,
    backbone=BackboneConfig(name="resnet_tiny", weights=None, width=16),
    neck=YOLOv3NeckConfig(widths=(16, 16, 16)),
    anchors=(((8, 8), (12, 8)), ((16, 16), (20, 30)), ((32, 32), (48, 40))),
)
"""168 anchors."""
TINY_CENTERNET = CenterNetConfig(
    image_size=SIZE,
    backbone=BackboneConfig(name="resnet_tiny", weights=None, width=16),
    neck=UpsamplerConfig(widths=(16, 16, 16), deformable=False),
    head=CenterHeadConfig(channels=16),
)
"""256 cells."""

TINY_MASK2FORMER = Mask2FormerConfig(
    image_size=SIZE,
    backbone=BackboneConfig(name="resnet_tiny", weights=None, width=16, freeze_bn=True),
    channels=32,
    heads=4,
    pixel_decoder=PixelDecoderConfig(layers=1, feedforward=32),
    query_decoder=QueryDecoderConfig(layers=2, feedforward=32, queries=8),
    loss=QueryLossConfig(points=64),
)


def tiny_model(config=TINY, num_classes=3, seed=0):
    torch.manual_seed(seed)
    return build_model(config, num_classes)


def predict(model, images, inference):
    """Detections by a predictor of the engine that `inference` names."""
    return Predictor(model, inference.engine).predict(images, inference)


def loss(model, images, targets, counts=None):
    """The loss terms of a batch."""
    return model.loss(images, model.assign(targets), counts)


def target(boxes, labels=None, crowd=None, size=SIZE, image_id=0, seed=0):
    """A target whose masks fill the ellipses inside its boxes, given in pixels."""
    boxes = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    n = len(boxes)
    grid = torch.arange(size) + 0.5
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, ((boxes[:, 2:] - boxes[:, :2]) / 2).clamp(min=1e-6)
    x = (grid - centre[:, :1]) / half[:, :1]
    y = (grid - centre[:, 1:]) / half[:, 1:]
    return Target(
        boxes=boxes,
        labels=torch.as_tensor(labels if labels is not None else [0] * n, dtype=torch.int64),
        masks=(x[:, None, :] ** 2 + y[:, :, None] ** 2 <= 1).to(torch.uint8),
        crowd=torch.as_tensor(crowd if crowd is not None else [False] * n, dtype=torch.bool),
        image_id=image_id,
        seed=seed,
    )


def random_target(generator, n=3, crowds=0, classes=3, size=SIZE, image_id=0):
    """n objects and some crowds, inside the image, sides of at least an eighth of it."""
    total = n + crowds
    sides = (torch.rand(total, 2, generator=generator) * 0.5 + 0.125) * size
    corner = torch.rand(total, 2, generator=generator) * (size - sides)
    labels = torch.randint(0, classes, (total,), generator=generator)
    return target(torch.cat([corner, corner + sides], 1), labels, [False] * n + [True] * crowds, size, image_id, image_id)


def random_batch(seed, images=2, n=3, crowds=0, classes=3, size=SIZE):
    """(images, 3, S, S) float pixels and their targets."""
    generator = torch.Generator().manual_seed(seed)
    targets = [random_target(generator, n, crowds, classes, size, image_id=i) for i in range(images)]
    return torch.rand(images, 3, size, size, generator=generator) * 255, targets
