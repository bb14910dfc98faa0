"""FCIS and MNC of 64 pixels, and raw outputs made by hand."""

from __future__ import annotations

import torch

from tests.support.networks import SIZE
from yolact.config import BackboneConfig, FCISConfig, MNCConfig
from yolact.config.model.single_map import ProposalConfig
from yolact.models.two_stage.single_map.fcis import FCIS
from yolact.models.two_stage.single_map.mnc import MNC

_COMMON = {
    "image_size": SIZE,
    "backbone": BackboneConfig(name="resnet_tiny", weights=None, width=4),
    "channels": 8,
    "proposals": ProposalConfig(anchor_sizes=(12, 24, 40), channels=8, before_nms=60, count=20),
    "regions_per_image": 16,
}
TINY_FCIS = FCISConfig(**_COMMON, group=3, bins=9)
TINY_MNC = MNCConfig(**_COMMON, pooled=6, mask_units=8, mask_side=7, representation=8)
CELLS = SIZE // 16


def fcis(classes=3, **changes):
    torch.manual_seed(0)
    return FCIS(TINY_FCIS.replace(**changes), classes, pretrained=False)


def mnc(classes=3, **changes):
    torch.manual_seed(0)
    return MNC(TINY_MNC.replace(**changes), classes, pretrained=False)


def drawn(model, seed=0, scale=1.0):
    """Its raw outputs for one image of noise, every tensor a leaf that takes gradients."""
    images = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * 255
    with torch.no_grad():
        raw = model.eval()(images)
    return type(raw)(*((each * scale).requires_grad_() for each in raw))
