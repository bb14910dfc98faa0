"""A slow second YOLACT: anchors, boxes, matching and suppression, in plain loops and float64.

Written from the project's description of the official implementation, apart from the library, and importing nothing of it:
where the two agree, a mistake would have to have been made twice.

Shapes: P anchors, n objects, C classes. Boxes are xyxy, anchors cxcywh, both as fractions of the input's side.
"""

from __future__ import annotations

from math import exp, log, sqrt

import numpy as np

CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2


def anchors(image_size, feature_sizes, scales, aspect_ratios, square):
    """(P, 4) cxcywh; feature_sizes and scales (in pixels) per level from P3 upwards, maps being square."""
    rows = []
    for size, level_scales in zip(feature_sizes, scales, strict=True):
        for j in range(size):
            for i in range(size):
                for scale in level_scales:
                    for ratio in aspect_ratios:
                        width = scale * sqrt(ratio) / image_size
                        height = width if square else scale / sqrt(ratio) / image_size
                        rows.append(((i + 0.5) / size, (j + 0.5) / size, width, height))
    return np.array(rows, dtype=np.float64)


def to_corners(box):
    cx, cy, w, h = (float(v) for v in box)
    return np.array((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))


def encode(box, anchor):
    """Offsets (4,) of an xyxy box against a cxcywh anchor."""
    x1, y1, x2, y2 = (float(v) for v in box)
    cx, cy, w, h = (float(v) for v in anchor)
    return np.array(
        (
            ((x1 + x2) / 2 - cx) / (CENTRE_VARIANCE * w),
            ((y1 + y2) / 2 - cy) / (CENTRE_VARIANCE * h),
            log((x2 - x1) / w) / SIZE_VARIANCE,
            log((y2 - y1) / h) / SIZE_VARIANCE,
        )
    )


def decode(offset, anchor):
    """The xyxy box (4,) that these offsets mean."""
    tx, ty, tw, th = (float(v) for v in offset)
    cx, cy, w, h = (float(v) for v in anchor)
    return to_corners(
        (cx + CENTRE_VARIANCE * tx * w, cy + CENTRE_VARIANCE * ty * h, w * exp(SIZE_VARIANCE * tw), h * exp(SIZE_VARIANCE * th))
    )


def area(box):
    return (float(box[2]) - float(box[0])) * (float(box[3]) - float(box[1]))


def intersection(a, b, extra=0.0):
    width = min(float(a[2]), float(b[2])) - max(float(a[0]), float(b[0])) + extra
    height = min(float(a[3]), float(b[3])) - max(float(a[1]), float(b[1])) + extra
    return max(width, 0.0) * max(height, 0.0)


def iou(a, b):
    overlap = intersection(a, b)
    return overlap / (area(a) + area(b) - overlap)


def match(boxes, labels, crowd, priors, positive_iou=0.5, negative_iou=0.4, crowd_iou=0.7):
    """For each of P anchors its class (0 background, -1 neutral, label + 1) and the index of its object (-1: not positive).

    boxes (n, 4) xyxy fractions, labels (n,) from 0, crowd (n,) bool, priors (P, 4) cxcywh.
    """
    corners = [to_corners(prior) for prior in priors]
    objects = [g for g in range(len(boxes)) if not crowd[g]]
    crowds = [g for g in range(len(boxes)) if crowd[g]]
    overlap = {(g, p): iou(boxes[g], corners[p]) for g in objects for p in range(len(corners))}
    best = [0.0] * len(corners)
    owner = [-1] * len(corners)
    for p in range(len(corners)):
        for g in objects:
            if owner[p] == -1 or overlap[g, p] > best[p]:
                best[p], owner[p] = overlap[g, p], g

    free_objects, free_priors = list(objects), list(range(len(corners)))
    while free_objects and free_priors:
        g, p = max(((g, p) for g in free_objects for p in free_priors), key=lambda pair: overlap[pair])
        best[p], owner[p] = 2.0, g
        free_objects.remove(g)
        free_priors.remove(p)

    classes = []
    for p, corner in enumerate(corners):
        kind = 0
        if objects and best[p] >= positive_iou:
            kind = int(labels[owner[p]]) + 1
        elif objects and best[p] >= negative_iou:
            kind = -1
        if kind <= 0 and any(intersection(corner, boxes[g]) / area(corner) > crowd_iou for g in crowds):
            kind = -1
        classes.append(kind)
        if kind <= 0:
            owner[p] = -1
    return np.array(classes), np.array(owner)


def _best_first(scores):
    return sorted(range(len(scores)), key=lambda i: -scores[i])


def _fast_keep(boxes, order, iou_threshold):
    """Those of `order` that no better one overlaps by more than the threshold, be that one itself suppressed or not."""
    return [b for rank, b in enumerate(order) if all(iou(boxes[a], boxes[b]) <= iou_threshold for a in order[:rank])]


def fast_nms(boxes, scores, iou_threshold=0.5, top_k=200, max_detections=100, score_threshold=0.05, second=False):
    """Kept (anchor, class, score), best first. boxes (P, 4) decoded, scores (P, C) without background."""
    candidates = [p for p in range(len(boxes)) if max(scores[p]) > score_threshold]
    kept = []
    for c in range(scores.shape[1]):
        order = [candidates[i] for i in _best_first([scores[p, c] for p in candidates])][:top_k]
        kept += [
            (p, c, scores[p, c])
            for p in _fast_keep(boxes, order, iou_threshold)
            if not second or scores[p, c] > score_threshold
        ]
    return sorted(kept, key=lambda d: -d[2])[:max_detections]


def cross_class_nms(boxes, scores, iou_threshold=0.5, top_k=200, score_threshold=0.05):
    """As `fast_nms`, but every anchor votes for its best class only and all classes stand in one list; no final cut."""
    candidates = [p for p in range(len(boxes)) if max(scores[p]) > score_threshold]
    order = [candidates[i] for i in _best_first([max(scores[p]) for p in candidates])][:top_k]
    return [(p, int(np.argmax(scores[p])), max(scores[p])) for p in _fast_keep(boxes, order, iou_threshold)]


def greedy_nms(boxes, scores, image_size=None, iou_threshold=0.5, max_detections=100, score_threshold=0.05):
    """Greedy suppression per class.

    With `image_size` the official one: in pixels, sides counted with +1, overlap at or above the threshold suppresses.
    Without: sides as they are, overlap above the threshold suppresses.
    """
    scale, extra = (image_size, 1.0) if image_size else (1.0, 0.0)
    boxes = np.asarray(boxes, dtype=np.float64) * scale
    side = lambda box: (box[2] - box[0] + extra) * (box[3] - box[1] + extra)  # noqa: E731

    def suppresses(a, b):
        shared = intersection(boxes[a], boxes[b], extra)
        overlap = shared / (side(boxes[a]) + side(boxes[b]) - shared)
        return overlap >= iou_threshold if image_size else overlap > iou_threshold

    kept = []
    for c in range(scores.shape[1]):
        survivors = []
        for p in _best_first(scores[:, c]):
            if scores[p, c] > score_threshold and not any(suppresses(a, p) for a in survivors):
                survivors.append(p)
        kept += [(p, c, scores[p, c]) for p in survivors]
    return sorted(kept, key=lambda d: -d[2])[:max_detections]
