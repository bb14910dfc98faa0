"""Losses of the slow second YOLACT: one anchor, one pixel at a time, in torch float64 so that autograd gives gradients.

Targets are those of `slow_yolact.match`. Boxes are xyxy fractions of the input's side. A term is a sum over one image; the
callers divide by the batch's positives (semantic: by its images).
"""

from __future__ import annotations

import torch

from tests.reference import slow_masks, slow_yolact

BOX_WEIGHT, MASK_WEIGHT = 1.5, 6.125


def zero():
    return torch.zeros((), dtype=torch.float64)


def smooth_l1(x):
    size = x.abs()
    return 0.5 * x * x if size < 1 else size - 0.5


def box_loss(offsets, classes, owner, boxes, priors):
    """offsets (P, 4); sum of smooth L1 over the positives' coordinates, times 1.5."""
    total = zero()
    for p, kind in enumerate(classes):
        if kind > 0:
            wanted = slow_yolact.encode(boxes[owner[p]], priors[p])
            for i in range(4):
                total = total + smooth_l1(offsets[p, i] - float(wanted[i]))
    return BOX_WEIGHT * total


def class_loss(logits, classes, negatives_per_positive=3):
    """logits (P, C+1); cross entropy of the positives and of the hardest backgrounds, three per positive."""
    entropy = lambda p, kind: torch.log(torch.exp(logits[p] - logits[p].max()).sum()) + logits[p].max() - logits[p, kind]  # noqa: E731
    positives = [p for p, kind in enumerate(classes) if kind > 0]
    backgrounds = [p for p, kind in enumerate(classes) if kind == 0]
    wanted = int(min(negatives_per_positive * len(positives), len(classes) - 1))
    hardest = sorted(backgrounds, key=lambda p: -entropy(p, 0).item())[:wanted]
    total = zero()
    for p in positives + hardest:
        total = total + entropy(p, int(classes[p]))
    return total


def small_masks(masks, height, width):
    """GT masks (n, S, S) at the prototypes' resolution: bilinear, then above one half."""
    return [slow_masks.bilinear(mask, height, width) > 0.5 for mask in masks]


def pixel_entropy(probability, truth):
    """Binary cross entropy of one pixel, logarithms held at -100 as torch does."""
    likelihood = probability if truth else 1 - probability
    return -torch.clamp(torch.log(likelihood), min=-100)


def lincomb_loss(prototypes, coefficients, owner, boxes, masks, crop=True, chosen=None):
    """prototypes (k, h, w), coefficients (P, k).

    `chosen` are the positives that a cap let in (None: all); the sum is scaled up for the rest.
    """
    _, h, w = prototypes.shape
    truths = small_masks(masks, h, w)
    positives = [p for p in range(len(owner)) if owner[p] >= 0]
    entering = positives if chosen is None else chosen
    total = zero()
    for p in entering:
        box, truth = boxes[owner[p]], truths[owner[p]]
        left = slow_masks.inside(box, h, w)
        summed = zero()
        for y in range(h):
            for x in range(w):
                if crop and not left[y, x]:
                    summed = summed + (100.0 if truth[y, x] else 0.0)
                else:
                    summed = summed + pixel_entropy(torch.sigmoid((prototypes[:, y, x] * coefficients[p]).sum()), truth[y, x])
        if crop:
            area = float(box[2] - box[0]) * w * float(box[3] - box[1]) * h
            summed = summed / area
        total = total + summed
    return MASK_WEIGHT * total * (len(positives) / len(entering) if entering else 1.0)


def fc_mask_target(mask, box, size):
    """(size, size) bool: the (S, S) mask cut by a box (xyxy fractions), pooled, above one half.

    A box without a whole pixel, at which the official code fails, is widened to one.
    """
    x1, y1, x2, y2 = slow_masks.integer_box([min(max(float(v), 0.0), 1.0) for v in box], *mask.shape)
    x1, y1 = min(x1, mask.shape[1] - 1), min(y1, mask.shape[0] - 1)
    x2, y2 = max(x2, x1 + 1), max(y2, y1 + 1)
    return slow_masks.adaptive_average(mask[y1:y2, x1:x2], size) > 0.5


def fc_mask_loss(probabilities, offsets, owner, masks, priors, size, weight):
    """probabilities (P, size * size); the target is cut by the decoded predicted box."""
    total = zero()
    for p in range(len(owner)):
        if owner[p] < 0:
            continue
        box = slow_yolact.decode(offsets[p], priors[p])
        truth = fc_mask_target(masks[owner[p]], box, size).reshape(-1)
        for i in range(size * size):
            total = total + pixel_entropy(probabilities[p, i], truth[i])
    return weight * total


def semantic_loss(logits, labels, crowd, masks):
    """logits (C, h, w); BCE against the union of each class's non-crowd masks, divided by h w."""
    channels, h, w = logits.shape
    truths = small_masks(masks, h, w)
    total = zero()
    for c in range(channels):
        for y in range(h):
            for x in range(w):
                truth = any(truths[g][y, x] for g in range(len(labels)) if labels[g] == c and not crowd[g])
                z = logits[c, y, x]
                total = total + torch.clamp(z, min=0) - (z if truth else 0.0) + torch.log1p(torch.exp(-z.abs()))
    return total / (h * w)
