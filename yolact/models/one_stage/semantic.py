"""Semantic segmentation on P3, learned beside the detector and left out of inference. It has two forms.

n images, m annotations of an image, C classes, (h, w) the size of P3, input of side S.
Source: "classes" YOLACT, paper section 4 "Semantic Segmentation Loss"; "painted" AdelaiDet
`adet/modeling/blendmask/basis_module.py` and `datasets/prepare_thing_sem_from_instance.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolact.config.model.parts import SemanticFormConfig
from yolact.models.layers.conv_norm import conv_norm, kaiming
from yolact.models.layers.initialise import xavier
from yolact.models.one_stage.dense_head import Assignment
from yolact.ops.masks import downsample
from yolact.structures import Target

STRIDE = 8
"""Input pixels per cell of P3."""


def build_semantic(config: SemanticFormConfig, channels: int, num_classes: int) -> nn.Module:
    """From P3 (n, c, h, w) to logits: (n, C, h, w), or "painted" (n, C + 1, h, w) with the background first."""
    if config.semantic_form == "classes":
        return nn.Conv2d(channels, num_classes, 1)
    width = config.semantic_channels
    return nn.Sequential(*conv_norm(channels, width), *conv_norm(width, width), nn.Conv2d(width, num_classes + 1, 1))


def initialise_semantic(semantic: nn.Module) -> None:
    """Draw the weights. The last convolution of "painted" keeps torch's."""
    semantic.apply(xavier if isinstance(semantic, nn.Conv2d) else kaiming)


def paint(targets: Sequence[Target]) -> Tensor:
    """(n, h, w) int64: label + 1 of the last annotation, crowds included, that covers the top left pixel of each cell of P3; 0
    where none does."""
    return torch.stack([_paint(target) for target in targets])


def _paint(target: Target) -> Tensor:
    cells = target.masks[:, ::STRIDE, ::STRIDE].bool()
    number = torch.arange(1, len(cells) + 1, device=cells.device)[:, None, None]
    nothing = number.new_zeros((1, *cells.shape[1:]))
    last = torch.cat([nothing, cells * number]).amax(dim=0)
    return torch.cat([target.labels.new_zeros(1), target.labels + 1])[last]


def semantic_loss(logits: Tensor, assignment: Assignment) -> Tensor:
    """Binary cross entropy of (n, C, h, w) logits against the union of each class's masks, per pixel, summed over images."""
    size = (logits.shape[-2], logits.shape[-1])
    planes = assignment.labels + assignment.owner * logits.shape[1]
    union = logits.new_zeros((logits.shape[0] * logits.shape[1], *size))
    wanted = union.index_add_(0, planes, downsample(assignment.masks, size)).clamp_(max=1).view_as(logits)
    return F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / (size[0] * size[1])


def form_loss(logits: Tensor, assignment: Assignment) -> Tensor:
    """The loss of either form, mean over pixels, summed over images."""
    if assignment.painted is None:
        return semantic_loss(logits, assignment)
    return F.cross_entropy(logits, assignment.painted, reduction="sum") / assignment.painted[0].numel()
