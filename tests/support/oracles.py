"""Hand-made detections of planted images, as if a network with planted prototypes had made them."""

from __future__ import annotations

import torch

from tests.support.networks import TINY, TINY_FC_MASK, tiny_model
from tests.support.planted import Objects, Planted
from yolact.config import InferenceConfig
from yolact.ops.mask_assembly import assemble
from yolact.ops.masks import binarize
from yolact.structures import Detections

INFERENCE = InferenceConfig()
MODEL = tiny_model(TINY)
FC_MASK = tiny_model(TINY_FC_MASK)


def boxes(*rows):
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def truth_of(masks, corners, labels=None, crowd=None):
    """Annotations with masks (n, H, W) and boxes (n, 4)."""
    n = len(masks)
    return Objects(
        boxes=corners,
        labels=torch.tensor(labels if labels is not None else [0] * n, dtype=torch.int64),
        masks=masks.to(torch.uint8),
        crowd=torch.tensor(crowd if crowd is not None else [False] * n, dtype=torch.bool),
    )


def found_with(prototypes, coefficients, corners, labels=None, size=None, inference=INFERENCE):
    """Detections whose masks are assembled as the network does."""
    n, (height, width) = len(coefficients), size or prototypes.shape[-2:]
    fractions = corners / torch.tensor([width, height, width, height])
    soft = assemble(prototypes, coefficients, fractions if inference.crop else None, inference.crop_padding)
    return Detections(
        boxes=corners,
        scores=torch.linspace(0.9, 0.5, n),
        labels=torch.as_tensor(labels if labels is not None else [0] * n, dtype=torch.int64),
        masks=binarize(soft, (height, width), inference.mask_threshold),
        coefficients=coefficients,
        prototypes=prototypes,
    )


def planted_image(model: Planted, index: int):
    """(detections, annotations) of one planted image whose annotations are exactly the masks of the planted coefficients, and
    whose detections have the right boxes but coefficients of zero."""
    corners, labels = model.instances[index].boxes, model.instances[index].labels
    right = found_with(model.prototypes[index], model.coefficients[index], corners, labels)
    wrong = found_with(model.prototypes[index], torch.zeros_like(model.coefficients[index]), corners, labels)
    return wrong, truth_of(right.masks, corners, labels.tolist())


def none_found(size=32, k=4):
    return found_with(torch.rand(k, size, size), torch.zeros(0, k), boxes())


def no_truth(size=32):
    return truth_of(torch.zeros(0, size, size), boxes())
