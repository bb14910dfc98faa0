"""The best coefficients there could be: those whose mask fits the object that the detection finds.

k prototypes of (h, w), q matched detections, image (H, W). A mask is sigmoid(P c), cropped by the padded box, so the fit sees
the pixels inside that crop alone. Its target is how much of each prototype pixel the object covers: what a mask must have there
for its upsampled outline to pass where the object's does. The loss is the one that the network learns by, binary cross entropy,
with a ridge that keeps the coefficients of separable masks finite; it is convex, so that the fit depends on no start.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from yolact.config.inference import InferenceConfig
from yolact.evaluation.objects import mask_iou
from yolact.models.masks.prototypes import masks_again
from yolact.ops import mask_assembly
from yolact.ops import masks as mask_ops
from yolact.structures import Detections

RIDGE = 1e-6
"""Weight of the squared coefficients, times the prototypes' mean square; leaves the logits of separable masks near ±12."""
ITERATIONS = 50
"""Newton steps at most; a dozen are common."""
TOLERANCE = 1e-9
"""The fit ends where a step lowers the loss, in nats per pixel, by less."""


def coverage(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """(n, H, W) 0/1 masks to (n, h, w) float32: the fraction of each prototype pixel that is covered."""
    if not len(masks):
        return masks.new_zeros((0, *size), dtype=torch.float32)
    return F.interpolate(masks[None].float(), size=size, mode="area")[0]


def crop_fractions(found: Detections) -> Tensor:
    """(q, 4) the boxes as fractions of the image, whose size is that of the masks."""
    if found.masks is None:
        raise ValueError("detections without masks have no image size")
    height, width = found.masks.shape[-2:]
    return found.boxes / torch.tensor([width, height, width, height], device=found.boxes.device)


def limit_masks(found: Detections, truth: Tensor, inference: InferenceConfig) -> Tensor:
    """(q, H, W) bool: masks (q, H, W) of objects as prototypes that span everything would give them, cropped by the boxes.

    Args:
        found: q detections with prototypes, whose resolution is taken.
    """
    if found.prototypes is None:
        raise ValueError("detections were made without prototypes")
    covered = coverage(truth, (found.prototypes.shape[-2], found.prototypes.shape[-1]))
    if inference.crop:
        covered = mask_assembly.crop(covered, crop_fractions(found), inference.crop_padding)
    return mask_ops.binarize(covered, (truth.shape[-2], truth.shape[-1]), inference.mask_threshold)


def best_coefficients(found: Detections, truth: Tensor, inference: InferenceConfig, bound: float) -> Detections:
    """The detections with the coefficients, and their masks, that fit the objects best.

    Three candidates: the prediction, the fit within the bound, and the fit without a bound scaled down into it (which keeps the
    mask's outline on the prototypes' pixels). The one with the highest IoU with the object's mask stays: cross entropy is not
    IoU, and an oracle knows all three.

    Args:
        found: q detections, each of which finds an object, with coefficients, prototypes and masks.
        truth: (q, H, W) bool or 0/1, the masks of those objects.
        inference: how masks are cropped and binarised.
        bound: coefficients stay in [-bound, bound]; may be infinite.
    """
    if found.prototypes is None or found.coefficients is None:
        raise ValueError("detections were made without prototypes")
    if not len(found) or not bool(found.prototypes.isfinite().all()):
        return found
    free = _fits(found, truth, inference, math.inf)
    best = _better(found, truth, inference, (free / (free.abs().amax(dim=1, keepdim=True) / bound).clamp(min=1)))
    return best if math.isinf(bound) else _better(best, truth, inference, _fits(found, truth, inference, bound))


def _fits(found: Detections, truth: Tensor, inference: InferenceConfig, bound: float) -> Tensor:
    """(q, k) what `fit` gives for each detection."""
    prototypes = cast(Tensor, found.prototypes)
    target = coverage(truth, (prototypes.shape[-2], prototypes.shape[-1]))
    inside = _inside(found, target, inference)
    fitted = [fit(prototypes[:, where].T, aim[where], bound) for aim, where in zip(target, inside, strict=True)]
    return torch.stack(fitted).to(prototypes)


def _better(found: Detections, truth: Tensor, inference: InferenceConfig, coefficients: Tensor) -> Detections:
    """The detections, with these coefficients (q, k) and the masks they make wherever those have the higher IoU."""
    old, new = cast(Tensor, found.masks), masks_again(found, inference, coefficients)
    better = (mask_iou(new, truth.bool()) > mask_iou(old, truth.bool()))[:, None]
    return replace(
        found,
        masks=torch.where(better[:, None], new, old),
        coefficients=torch.where(better, coefficients, cast(Tensor, found.coefficients)),
    )


def fit(pixels: Tensor, target: Tensor, bound: float = math.inf) -> Tensor:
    """Coefficients that minimise the mean cross entropy of sigmoid(pixels @ c) plus the ridge.

    Newton's method, projected on the bounds: coefficients at a bound that the gradient would push across it are held there,
    the others take the Newton step, halved until the loss falls (Bertsekas 1982).

    Args:
        pixels: (p, k) values of the prototypes at p pixels; p may be 0.
        target: (p,) in [0, 1].
        bound: of |c|.

    Returns:
        (k,) float64; zeros without pixels.
    """
    pixels, target = pixels.double(), target.double()
    c = pixels.new_zeros(pixels.shape[1])
    if not len(pixels):
        return c
    ridge = float(RIDGE * pixels.square().mean().clamp(min=1e-12))
    loss = _loss(pixels, target, c, ridge)
    for _ in range(ITERATIONS):
        gradient, curvature = _derivatives(pixels, target, c, ridge)
        held = (c >= bound) & (gradient < 0) | (c <= -bound) & (gradient > 0)
        step = _newton_step(gradient, curvature, held)
        for halving in range(30):
            moved = (c - step * 0.5**halving).clamp(-bound, bound)
            new = _loss(pixels, target, moved, ridge)
            if new < loss:
                break
        else:
            return c
        gain, c, loss = loss - new, moved, new
        if gain < TOLERANCE:
            return c
    return c


def _loss(pixels: Tensor, target: Tensor, c: Tensor, ridge: float) -> float:
    logits = pixels @ c
    return float(F.binary_cross_entropy_with_logits(logits, target) + 0.5 * ridge * c.square().sum())


def _derivatives(pixels: Tensor, target: Tensor, c: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """(k,) gradient and (k, k) curvature of the loss."""
    probability = torch.sigmoid(pixels @ c)
    gradient = pixels.T @ (probability - target) / len(pixels) + ridge * c
    weight = probability * (1 - probability) / len(pixels)
    curvature = pixels.T @ (weight[:, None] * pixels)
    return gradient, curvature + ridge * torch.eye(len(c), dtype=c.dtype, device=c.device)


def _newton_step(gradient: Tensor, curvature: Tensor, held: Tensor) -> Tensor:
    """The step of the coefficients that aren't held; 0 for those."""
    free = (~held).double()
    system = curvature * free[:, None] * free + torch.diag(held.double())
    return torch.linalg.solve(system, gradient * free)


def _inside(found: Detections, target: Tensor, inference: InferenceConfig) -> Tensor:
    """(q, h, w) bool: the prototype pixels that the crop leaves."""
    everywhere = torch.ones_like(target)
    if not inference.crop:
        return everywhere.bool()
    return mask_assembly.crop(everywhere, crop_fractions(found), inference.crop_padding).bool()
