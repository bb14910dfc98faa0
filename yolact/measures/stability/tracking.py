"""Detections followed from frame to frame, and compared with themselves once motion is taken out.

(H, W) is a frame, n its annotated objects; motion is (dx, dy) in whole pixels of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolact.data.synthetic.motion import Frame, areas
from yolact.data.synthetic.scenes import box_of
from yolact.structures import Detections

LINK_IOU = 0.5
"""A detection continues a track where their masks overlap by at least this, motion taken out; it also finds an object so."""
PATIENCE = 5
"""Frames in a row that a track may be lost for and still be continued."""

Motion = tuple[int, int]
GROUND = -1


@dataclass(frozen=True)
class Seen:
    """One detection in one frame."""

    number: int
    """Of the frame, from 0."""
    frame: Frame
    mask: NDArray[np.bool_]
    """(H, W)"""
    extent: tuple[slice, slice]
    """The rows and columns that the mask has pixels in."""
    box: NDArray[np.float64]
    """(4,) xyxy in pixels of the frame."""
    label: int
    score: float
    mover: int
    """Which object of the frame most of its pixels lie on, as a place among them; GROUND where most lie on none."""

    @property
    def own(self) -> NDArray[np.bool_]:
        """(H, W) what is seen of the object that it lies on; nothing where that is the ground."""
        return self.frame.masks[self.mover] if self.mover != GROUND else np.zeros(self.mask.shape, bool)


@dataclass
class Track:
    """Detections of one thing, in the order of frames; some frames may lack one."""

    number: int
    last: Seen
    """The latest detection."""
    before: Seen | None = None
    """The one that came before it."""


def look_at(found: Detections, frame: Frame, number: int, score: float) -> list[Seen]:
    """The detections of a frame with at least this score and a mask that is not empty, best first."""
    assert found.masks is not None  # `measure` refuses networks without masks
    kept = (found.scores >= score) & found.masks.any(2).any(1)
    masks, boxes = found.masks[kept].cpu().numpy(), found.boxes[kept].cpu().numpy().astype(np.float64)
    seen = []
    for mask, box, label, value in zip(masks, boxes, found.labels[kept].tolist(), found.scores[kept].tolist(), strict=True):
        x1, y1, x2, y2 = box_of(mask)
        extent = slice(y1, y2), slice(x1, x2)
        seen.append(Seen(number, frame, mask, extent, box, label, value, _mover(mask[extent], frame.masks[:, *extent])))
    return seen


def motion_between(before: Seen, after: Seen) -> Motion:
    """How the thing moved: as the object did that `before` lies on, or, where nobody knows, as the box's centre did."""
    if before.frame.offsets is None or after.frame.offsets is None:
        x, y = np.round((after.box[:2] + after.box[2:] - before.box[:2] - before.box[2:]) / 2)
    else:
        x, y = after.frame.offsets[before.mover] - before.frame.offsets[before.mover]
    return int(x), int(y)


def steady_iou(before: Seen, after: Seen, motion: Motion) -> float:
    """Mask IoU of two frames with motion taken out; NaN where neither mask has a pixel that can be compared.

    Left out are pixels that only one of the frames shows, and those where one of the frames shows the object that `before` lies
    on and the other does not (something else covers or uncovers it). Hence the visible part of an object has IoU 1 with itself.
    """
    earlier, later = _windows(before.mask.shape, motion)
    a, b = before.mask[earlier], after.mask[later]
    own_after = after.frame.masks[before.mover] if before.mover != GROUND else before.own
    same = before.own[earlier] == own_after[later]
    either = np.count_nonzero((a | b) & same)
    return np.count_nonzero(a & b & same) / either if either else float("nan")


def undisturbed(before: Seen, after: Seen, motion: Motion) -> bool:
    """Whether the same part of the thing is seen in both frames, away from the border: then its box should move as it does."""
    earlier, later = _windows(before.mask.shape, motion)
    own_after = after.frame.masks[before.mover] if before.mover != GROUND else before.own
    height, width = before.mask.shape
    inside = all(min(s.box[0], s.box[1], width - s.box[2], height - s.box[3]) > 0 for s in (before, after))
    return inside and np.array_equal(before.own[earlier], own_after[later])


def link(tracks: list[Track], seen: list[Seen], first: int) -> list[Track]:
    """The tracks that the detections of the next frame continue or begin, in the order of `seen`.

    The greatest overlap comes first. Only a detection of the track's class may continue it, by an IoU of at least `LINK_IOU`
    with its last mask: moved as the object did, or where motion is unknown as it was, for moving it onto each candidate would
    make any of that size fit.

    Args:
        tracks: those that may be continued.
        seen: all detections of one frame.
        first: number of the first track that begins here.
    """
    pairs = []
    for place, track in enumerate(tracks):
        for number, one in enumerate(seen):
            motion = motion_between(track.last, one) if one.frame.offsets is not None else (0, 0)
            if one.label == track.last.label and _near(track.last.box, one.box, motion):
                pairs.append((steady_iou(track.last, one, motion), place, number))
    continued = {number: tracks[place] for place, number in greedy([pair for pair in pairs if pair[0] >= LINK_IOU])}
    linked = []
    for number, one in enumerate(seen):
        if number in continued:
            linked.append(Track(continued[number].number, one, continued[number].last))
        else:
            linked.append(Track(first, one))
            first += 1
    return linked


def objects_found(frame: Frame, seen: list[Seen]) -> dict[int, tuple[Seen, float]]:
    """{object: (its detection, their mask IoU)}, one of its class for each, of IoU of at least `LINK_IOU`; best pairs first."""
    pairs = []
    sizes = areas(frame.masks)
    for place, label in enumerate(frame.labels):
        own = frame.masks[place]
        for number, one in enumerate(seen):
            if one.label == label and (shared := np.count_nonzero(own[one.extent] & one.mask[one.extent])):
                pairs.append((shared / (sizes[place] + np.count_nonzero(one.mask[one.extent]) - shared), place, number))
    value = {(place, number): iou for iou, place, number in pairs}
    matched = greedy([pair for pair in pairs if pair[0] >= LINK_IOU])
    return {place: (seen[number], value[place, number]) for place, number in matched}


def greedy(pairs: list[tuple[float, int, int]]) -> list[tuple[int, int]]:
    """(a, b) of each chosen (value, a, b), the highest value first and none of a or b twice."""
    chosen: list[tuple[int, int]] = []
    for _, a, b in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if all(a != x and b != y for x, y in chosen):
            chosen.append((a, b))
    return chosen


def _mover(mask: NDArray[np.bool_], objects: NDArray[np.bool_]) -> int:
    on = np.count_nonzero(objects & mask, axis=(1, 2))
    if not on.any() or on.max() < np.count_nonzero(mask & ~objects.any(0)):
        return GROUND
    return int(on.argmax())


def _windows(shape: tuple[int, ...], motion: Motion) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The pixels of the earlier frame, and those of the later one that show the same after this motion."""
    (height, width), (x, y) = shape, motion
    earlier = slice(max(-y, 0), max(height - max(y, 0), 0)), slice(max(-x, 0), max(width - max(x, 0), 0))
    later = slice(max(y, 0), max(height + min(y, 0), 0)), slice(max(x, 0), max(width + min(x, 0), 0))
    return earlier, later


def _near(box: NDArray[np.float64], other: NDArray[np.float64], motion: Motion) -> bool:
    moved = box + np.array([*motion, *motion])
    return bool((np.minimum(moved[2:], other[2:]) > np.maximum(moved[:2], other[:2])).all())
