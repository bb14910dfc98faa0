"""Temporal stability: how steady masks, boxes and scores are from frame to frame, once motion is taken out.

Sequences are generated with known motion (`yolact/data/synthetic/motion.py`, `yolact/data/synthetic/camera.py`) or read
(`footage.py`).
What is written, per detection of a track and per annotated object in every frame, stands in `__init__.py`; definitions:

consecutive IoU   mask IoU, 0..1, of two successive frames' detections of one track, motion taken out (`tracking.steady_iou`)
box jitter        mean over the box's four sides of how far it moved other than the thing did, in pixels of the network's input;
                  only where the same part of the thing is seen in both frames. Where motion is unknown the box's centre defines
                  it, and the jitter is that of the box's size alone
score change      absolute difference of the score between two successive frames, 0..1
gaps              share of a track's frames, from its first detection to its last, in which it was lost
flicker           changes between found and not found, per pair of successive frames that both show the object well enough
GT IoU            mask IoU, 0..1, of an object and the detection that found it; its deviation over time is the sample standard
                  deviation over the frames in which the object was found, per object
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from yolact.data.synthetic.camera import moving_camera
from yolact.data.synthetic.motion import Frame, moving_shapes
from yolact.data.synthetic.scenes import CLASSES
from yolact.errors import UserError
from yolact.measures.context import Look, steps
from yolact.measures.stability import StabilityConfig
from yolact.measures.stability.film import Film
from yolact.measures.stability.footage import footage
from yolact.measures.stability.tracking import (
    PATIENCE,
    Seen,
    Track,
    link,
    look_at,
    motion_between,
    objects_found,
    steady_iou,
    undisturbed,
)
from yolact.runtime.files import write_csv, write_json

TRACK_COLUMNS = ("sequence", "frame", "track", "label", "score", "x1", "y1", "x2", "y2", "object", "iou", "box_jitter",
                 "score_change")  # fmt: skip
OBJECT_COLUMNS = ("sequence", "frame", "object", "label", "visible", "found", "gt_iou", "iou")
PAIRED = ("iou", "box_jitter", "score_change")
"""Columns that compare a detection with the one before it."""

Row = dict[str, Any]


def measure(folder: Path, look: Look, config: StabilityConfig) -> None:
    """Write tracks.csv, objects.csv, film.npz and summary.json into `folder`.

    Raises:
        Stopped: asked to.
        UserError: the network makes no masks, no image of the split has an object, or the source cannot be read.
    """
    tracks: list[Row] = []
    objects: list[Row] = []
    sequences = _sequences(look, config)
    numbers = steps(look, list(range(len(sequences) * config.frames)))
    for number, frames in enumerate(sequences):
        film = Film(config.frames) if number == 0 else None
        for row in _follow(look, config, _stepping(frames, numbers), film):
            (tracks if "track" in row else objects).append({"sequence": number, **row})
        if film:
            film.write(folder / "film.npz")
    write_csv(folder / "tracks.csv", _rounded(tracks), TRACK_COLUMNS)
    write_csv(folder / "objects.csv", _rounded(objects), OBJECT_COLUMNS)
    summary = {
        "sequences": len(sequences),
        "motion": "known" if config.source is None else "estimated",
        "score": config.score,
        "means": means(tracks, objects),
    }
    write_json(folder / "summary.json", summary)


def means(tracks: Sequence[Mapping[str, Any]], objects: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """{measure: {"mean", "n"}} of the definitions at the top of this file; the mean is None where there is nothing to average.

    n counts pairs of frames (iou, box_jitter, score_change, flicker), frames (gaps, found, gt_iou) or objects (gt_iou_sd).
    """
    lost, span = _gaps(tracks)
    changes, pairs, deviations = _over_time(objects)
    shown = [row for row in objects if row["visible"]]
    return {
        **{name: _mean([row[name] for row in tracks if row[name] is not None]) for name in PAIRED},
        "gaps": {"mean": lost / span if span else None, "n": span},
        "flicker": {"mean": changes / pairs if pairs else None, "n": pairs},
        "found": _mean([row["found"] for row in shown]),
        "gt_iou": _mean([row["gt_iou"] for row in shown if row["found"]]),
        "gt_iou_sd": _mean(deviations),
    }


def _follow(look: Look, config: StabilityConfig, frames: Iterable[Frame], film: Film | None) -> Iterator[Row]:
    """Rows of both tables for one sequence; those of tracks have a `track`."""
    tracks: dict[int, Track] = {}
    found_before: dict[int, Seen] = {}
    begun = 0
    for number, frame in enumerate(frames):
        seen = _detect(look, config, frame, number)
        open_ones = [track for track in tracks.values() if number - track.last.number <= PATIENCE + 1]
        linked = link(open_ones, seen, begun)
        begun = max([begun, *(track.number + 1 for track in linked)])
        tracks = {track.number: track for track in (*open_ones, *linked)}
        if film:
            film.add(frame, linked)
        scale = max(frame.image.shape[:2]) / look.model.image_size
        yield from (_track_row(track, scale) for track in linked)
        found = objects_found(frame, seen)
        yield from (_object_row(frame, number, place, found, found_before) for place in range(len(frame.labels)))
        found_before = {place: one for place, (one, _) in found.items()}


def _stepping(frames: Iterable[Frame], numbers: Iterator[int]) -> Iterator[Frame]:
    """The frames, each a step that is logged and may be the last."""
    for frame in frames:
        next(numbers)
        yield frame


def _detect(look: Look, config: StabilityConfig, frame: Frame, number: int) -> list[Seen]:
    image = torch.from_numpy(frame.image.transpose(2, 0, 1).copy()).to(look.device)
    found = look.predictor.predict([image], look.inference)[0]
    if found.masks is None:
        raise UserError("stability measures masks and this network makes none: take it out of `measure` or set inference.masks")
    return look_at(found, frame, number, config.score)


def _sequences(look: Look, config: StabilityConfig) -> list[Iterator[Frame]]:
    size = look.split.size
    if config.source is not None:
        return [footage(Path(config.source), config.frames)]
    if look.split.class_names == list(CLASSES):
        side = max(size(look.split.image_ids[0]))
        return [moving_shapes(index, config.frames, side) for index in range(config.sequences)]
    annotated = [image_id for image_id in look.split.image_ids if look.split.count(image_id)][: config.sequences]
    if not annotated:
        raise UserError("stability: no image of the evaluated split has an object; choose another with evaluation.split")
    return [moving_camera(look.split, image_id, config.frames, look.model.image_size) for image_id in annotated]


def _track_row(track: Track, scale: float) -> Row:
    one, before = track.last, track.before
    row = {"frame": one.number, "track": track.number, "label": one.label, "score": one.score,
           **dict(zip(("x1", "y1", "x2", "y2"), one.box.tolist(), strict=True)), "object": one.mover,
           **dict.fromkeys(PAIRED)}  # fmt: skip
    if before is None or before.number != one.number - 1:
        return row
    motion = motion_between(before, one)
    if undisturbed(before, one, motion):
        row["box_jitter"] = float(np.abs(one.box - before.box - [*motion, *motion]).mean()) / scale
    return row | {"iou": _number(steady_iou(before, one, motion)), "score_change": abs(one.score - before.score)}


def _object_row(
    frame: Frame, number: int, place: int, found: Mapping[int, tuple[Seen, float]], before: Mapping[int, Seen]
) -> Row:
    one, gt_iou = found.get(place, (None, None))
    iou = None
    if one is not None and place in before:
        iou = _number(steady_iou(before[place], one, motion_between(before[place], one)))
    return {"frame": number, "object": place, "label": int(frame.labels[place]), "visible": int(frame.visible[place]),
            "found": int(one is not None), "gt_iou": gt_iou, "iou": iou}  # fmt: skip


def _gaps(tracks: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """(frames in which a track was lost, frames from the first to the last of each), over all tracks."""
    frames: dict[tuple[int, int], list[int]] = {}
    for row in tracks:
        frames.setdefault((row["sequence"], row["track"]), []).append(row["frame"])
    span = sum(max(own) - min(own) + 1 for own in frames.values())
    return span - len(tracks), span


def _over_time(objects: Sequence[Mapping[str, Any]]) -> tuple[int, int, list[float]]:
    """(changes between found and not, pairs of frames that show the object, standard deviations of its GT IoU)."""
    history: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for row in objects:
        if row["visible"]:
            history.setdefault((row["sequence"], row["object"]), []).append(row)
    pairs = [(a["found"], b["found"]) for rows in history.values() for a, b in pairwise(rows) if b["frame"] == a["frame"] + 1]
    overlaps = [[row["gt_iou"] for row in rows if row["found"]] for rows in history.values()]
    return sum(a != b for a, b in pairs), len(pairs), [float(np.std(own, ddof=1)) for own in overlaps if len(own) > 1]


def _mean(values: Sequence[float]) -> dict[str, Any]:
    return {"mean": float(np.mean(values)) if len(values) else None, "n": len(values)}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _rounded(rows: Sequence[Row]) -> list[Row]:
    return [{name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()} for row in rows]
