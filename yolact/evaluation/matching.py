"""COCO's matching of detections to instances, of all images and classes at once: match by match what pycocotools finds.

In each image and class, detections choose in the order of their scores. A detection takes, of the instances that are still free
and whose IoU reaches the threshold, one that counts before one that is ignored, of those the one with the highest IoU, and of
equal IoUs the last annotated. Crowd regions are always ignored and always free. What an instance is, counted or ignored,
depends on the area range; what is free, on the area range and the IoU threshold.

IoUs are by default those of pycocotools' C code, to the last bit. Few pairs reach the least threshold, and detections of
different images or classes don't compete. Hence the rest runs in waves over these pairs: first the best detection of every
image and class, then the second, and so on.

I images, K categories, A area ranges, T IoU thresholds, D detections, G instances, P pairs of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from yolact.evaluation.inputs import FIELD, IouType

_JUST_BELOW_ONE = 1 - 1e-10
"""COCO's cap on an IoU threshold."""

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Overlap = Callable[[Any, Any, list[int]], NDArray[np.float64]]
"""IoU (d, g) of the shapes of d detections and g instances, of which some are crowds (g,), as `pycocotools.mask.iou`."""


@dataclass(frozen=True)
class Gathered:
    """Detections or instances by category, then image, then descending score, then as they were given."""

    shapes: Any
    """(n,) what pycocotools compares: a list of RLEs, or an (n, 4) array of xywh boxes."""
    number: Ints
    """(n,) the annotations' ids."""
    image: Ints
    category: Ints
    score: NDArray[np.float64]
    area: NDArray[np.float64]
    crowd: Bools


@dataclass(frozen=True)
class Matching:
    """The detections and instances of all images, and which of them match."""

    detections: Gathered
    instances: Gathered
    matched: Bools
    """(A, T, D) the detection matches an instance."""
    ignored: Bools
    """(A, T, D) the detection counts neither way."""
    gt_matched: Bools
    """(A, T, G) a detection matches the instance."""
    gt_ignored: Bools
    """(A, G)"""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that `yolact.evaluation.coco.Evaluation.matches` has."""
        return {
            "image": self.detections.image,
            "category": self.detections.category,
            "score": self.detections.score,
            "matched": self.matched,
            "ignored": self.ignored,
            "gt_image": self.instances.image,
            "gt_category": self.instances.category,
            "gt_ignored": self.gt_ignored,
        }


def match(
    truth: Sequence[dict[str, Any]],
    found: Sequence[dict[str, Any]],
    iou_type: IouType,
    image_ids: Ints,
    category_ids: Ints,
    thresholds: NDArray[np.float64],
    area_ranges: Sequence[Sequence[float]],
    cap: int,
    overlap: Overlap = coco_mask.iou,
) -> Matching:
    """Match the best `cap` detections per image and class.

    Args:
        truth, found: annotations as `yolact.evaluation.inputs` prepares them; those of other images are passed over.
        image_ids: (I,) ascending.
        category_ids: (K,) ascending, all that occur.
        thresholds: (T,) ascending.
        area_ranges: A times (least, most) area, both inclusive.
        overlap: IoU of detections and instances.
    """
    instances = _gather(truth, image_ids, category_ids, iou_type)
    detections = _gather(found, image_ids, category_ids, iou_type, cap)
    crowd = instances.crowd
    pairs = _pairs(detections, instances, overlap, min(thresholds[0], _JUST_BELOW_ONE))
    outside = np.stack([(instances.area < low) | (instances.area > high) for low, high in area_ranges])  # (A, G)
    outside_found = np.stack([(detections.area < low) | (detections.area > high) for low, high in area_ranges])  # (A, D)
    shape = len(area_ranges), len(thresholds)
    matched, ignored = np.zeros((2, *shape, len(detections.area)), bool)
    taken = np.zeros((*shape, len(instances.area)), bool)
    for a in range(len(area_ranges)):
        own = matched[a], ignored[a], taken[a]
        _choose(pairs, crowd | outside[a], crowd, np.minimum(thresholds, _JUST_BELOW_ONE), *own)
    ignored |= ~matched & outside_found[:, None]
    return Matching(detections, instances, matched, ignored, taken, crowd | outside)


def rank_within(*keys: Ints) -> Ints:
    """(n,) 0, 1, ... for the elements of each run in which all keys (n,) stay equal."""
    count = len(keys[0])
    first = np.ones(count, bool)
    first[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    starts = np.flatnonzero(first)
    return np.arange(count) - np.repeat(starts, np.diff(np.append(starts, count)))


def _gather(
    annotations: Sequence[dict[str, Any]], image_ids: Ints, category_ids: Ints, iou_type: IouType, cap: int | None = None
) -> Gathered:
    """Annotations of these images, of each image and class the best `cap`; what has no score is taken as it comes."""
    places = {int(image_id): i for i, image_id in enumerate(image_ids)}
    own = [annotation for annotation in annotations if annotation["image_id"] in places]
    image = np.array([places[annotation["image_id"]] for annotation in own], np.int64)
    category = np.searchsorted(category_ids, np.array([annotation["category_id"] for annotation in own], np.int64))
    score = np.array([annotation.get("score", 0) for annotation in own], np.float64)
    order = np.lexsort((-score, image, category))
    if cap is not None:
        order = order[rank_within(category[order], image[order]) < cap]
    own = [own[place] for place in order.tolist()]
    shapes: Any = [annotation[FIELD[iou_type]] for annotation in own]
    if iou_type == "bbox":
        shapes = np.array(shapes, np.float64).reshape(-1, 4)
    return Gathered(
        shapes=shapes,
        number=np.array([annotation["id"] for annotation in own], np.int64),
        image=image[order],
        category=category[order],
        score=score[order],
        area=np.array([annotation["area"] for annotation in own], np.float64),
        crowd=np.array([annotation["iscrowd"] == 1 for annotation in own], bool),
    )


@dataclass(frozen=True)
class _Pairs:
    """Detections and instances of one image and class that overlap enough, by wave, detection, IoU, instance."""

    wave: Ints
    """(P,) how many detections of this image and class choose before this one."""
    detection: Ints
    instance: Ints
    iou: NDArray[np.float64]
    preference: Ints
    """(P,) place among the pairs of its detection, from 1 for the least preferred."""

    def waves(self) -> Iterator[tuple[slice, Ints]]:
        """The pairs of each wave, and where in it the pairs of each detection begin."""
        bounds = np.searchsorted(self.wave, np.arange(self.wave[-1] + 2 if len(self.wave) else 1))
        for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            yield slice(begin, end), np.flatnonzero(self.preference[begin:end] == 1)


def _pairs(detections: Gathered, instances: Gathered, overlap: Overlap, least: float) -> _Pairs:
    """All pairs whose IoU is at least `least`."""
    blocks = list(_blocks(detections, instances, overlap, least))
    detection = np.concatenate([np.zeros(0, np.int64), *(block[0] for block in blocks)])
    instance = np.concatenate([np.zeros(0, np.int64), *(block[1] for block in blocks)])
    iou = np.concatenate([np.zeros(0), *(block[2] for block in blocks)])
    ones, pair_of = np.unique(detection, return_inverse=True)
    wave = rank_within(detections.category[ones], detections.image[ones])[pair_of]
    order = np.lexsort((instance, iou, detection, wave))
    return _Pairs(wave[order], detection[order], instance[order], iou[order], rank_within(detection[order]) + 1)


def _blocks(
    detections: Gathered, instances: Gathered, overlap: Overlap, least: float
) -> Iterator[tuple[Ints, Ints, NDArray[np.float64]]]:
    """(detection, instance, IoU) of the pairs of each image and class that has both."""
    images = 1 + int(max(detections.image.max(initial=0), instances.image.max(initial=0)))
    cells, their_cells = (each.category * images + each.image for each in (detections, instances))
    both = np.intersect1d(cells, their_cells)
    bounds = [np.searchsorted(keys, both, side) for keys in (cells, their_cells) for side in ("left", "right")]
    flags = instances.crowd.astype(int).tolist()
    for d0, d1, g0, g1 in np.stack(bounds, axis=1).tolist():
        iou = overlap(detections.shapes[d0:d1], instances.shapes[g0:g1], flags[g0:g1])
        rows, columns = np.nonzero(iou >= least)
        yield rows + d0, columns + g0, iou[rows, columns]


def _choose(
    pairs: _Pairs,
    ignored: Bools,
    crowd: Bools,
    thresholds: NDArray[np.float64],
    matched: Bools,
    on_ignored: Bools,
    taken: Bools,
) -> None:
    """Let the detections choose in one area range; set `matched` and `on_ignored` (T, D), `taken` (T, G) where they did.

    Args:
        ignored, crowd: (G,)
    """
    taken = taken.T
    counted = int(pairs.preference.max(initial=0))  # added to the preference of an instance that counts
    for part, starts in pairs.waves():
        instance = pairs.instance[part]
        free = (pairs.iou[part, None] >= thresholds) & (~taken[instance] | crowd[instance, None])  # (p, T)
        worth = np.where(free, (pairs.preference[part] + counted * ~ignored[instance])[:, None], 0)
        best = np.maximum.reduceat(worth, starts, axis=0)  # (d, T)
        sizes = np.diff(np.append(starts, len(instance)))
        taken[instance] |= free & (worth == np.repeat(best, sizes, axis=0))  # in one wave an instance occurs once
        own = pairs.detection[part][starts]
        matched[:, own] = (best > 0).T
        on_ignored[:, own] = ((best > 0) & (best <= counted)).T
