"""Whether prototypes know where they are: activations on pictures that differ in place alone.

S the network's input, o objects, P places along each axis (`yolact/data/synthetic/probe_images.py`), k prototypes of (h, w),
c colours.
An object's activation is the mean of a prototype over the prototype pixels that it covers, each weighted by how much of it.

Upsampling repeats border pixels whatever the padding, so a network whose convolutions pad without zeros may still know a
little of where it is; on pictures of one colour it cannot.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou

from yolact.data.synthetic.probe_images import SOLID, Places, figure_five, moved, places, solid
from yolact.data.synthetic.scenes import box_of
from yolact.data.synthetic.sprites import Sprite, sprites
from yolact.measures.context import Look, steps
from yolact.measures.probes import ProbesConfig, translation
from yolact.ops import mask_assembly
from yolact.runtime.files import write_json, write_npz
from yolact.structures import Detections

BATCH = 16
DETECTIONS = 10
"""The best that an object is looked for among."""
MATCH_IOU = 0.5
"""Least IoU of a detection's box with the object's."""
STORED_SIDE = 64
"""Longest side of the maps that are kept to be looked at."""

Picture = NDArray[np.uint8]
Covered = list[NDArray[np.bool_]]
Arrays = dict[str, NDArray[Any]]


def measure(folder: Path, look: Look, config: ProbesConfig) -> None:
    """Write probes.npz and summary.json (`__init__.py` beside this) into `folder`.

    Raises:
        Stopped: asked to.
        UserError: the data have no object to move, or the network's input is too small to move it in.
    """
    branch = look.model.maps
    if branch is None:
        write_json(folder / "summary.json", {"prototypes": 0})
        return
    size, stride = look.model.image_size, largest_stride(branch.map_source)
    objects, source = sprites(look.split, size, config.objects)
    grid = places(size, max(sprite.side for sprite in objects), stride, config.cells, config.phases)
    arrays = moved_objects(look, objects, grid)
    arrays |= translation.total_effects(arrays["activation"], grid.phases)
    arrays |= neighbours(look, objects, grid)
    arrays |= plain_colours(look)
    arrays |= shown(look, figure_five(size, objects, grid))
    write_npz(folder / "probes.npz", arrays)
    described = {"image_size": size, "stride": stride, "cells": grid.cells, "phases": grid.phases, "source": source}
    write_json(folder / "summary.json", {"prototypes": branch.map_count, **described, **summary(arrays, grid.phases)})


def largest_stride(source: int) -> int:
    """Pixels of the input that the coarsest map below the prototypes moves by: C5's 32, or that of the level they hang on."""
    return int(2 ** max(5, source))


def moved_objects(look: Look, objects: Sequence[Sprite], grid: Places) -> Arrays:
    """Each object at each place.

    Returns:
        `places (P,)` pixels; `activation (o, P, P, k)`, rows first; of the detection whose box fits best, with zeros where
        none does, `score`, `mask_iou`, and the mean probability of the mask before the crop, over the object `mask_over` and
        over the rest of the picture `mask_elsewhere`, each (o, P, P).
    """
    centres = [(int(x), int(y)) for y in grid.centres for x in grid.centres]
    made = (moved(look.model.image_size, sprite, [centre]) for sprite in objects for centre in centres)
    activations, masks = [], []
    for found, (covered,) in _answers(look, made, len(objects) * len(centres)):
        activations.append(_mean_over(_prototypes(found), covered))
        masks.append(_mask_numbers(found, covered))
    form = (len(objects), len(grid.centres), len(grid.centres))
    activation = torch.stack(activations).cpu().numpy().reshape(*form, -1)
    numbers = np.array(masks, np.float32).reshape(*form, 4)
    names = ("score", "mask_iou", "mask_over", "mask_elsewhere")
    return {
        "places": grid.centres,
        "activation": activation,
        **{name: numbers[..., index] for index, name in enumerate(names)},
    }


def neighbours(look: Look, objects: Sequence[Sprite], grid: Places) -> Arrays:
    """Two of the same object in a row or column, as close as cells allow without overlap.

    Returns:
        `separation (o, q, 2)`: how much more of the mask, before the crop, lies on the object it was predicted for than on its
        twin, as mean probabilities, -1..1; NaN where that object was not found, and where masks are no linear combinations of
        the maps. `pair_centres (q, 2, 2)`: pixels, x and y of both.
    """
    line = grid.of_phase(0)
    apart = next((n for n in range(1, len(line)) if line[n] - line[0] >= max(one.side for one in objects)), len(line))
    pairs = [
        turned
        for across in line
        for a, b in zip(line, line[apart:], strict=False)
        for turned in ([(a, across), (b, across)], [(across, a), (across, b)])
    ]
    made = (moved(look.model.image_size, sprite, pair) for sprite in objects for pair in pairs)
    found = [_separation(found, covered) for found, covered in _answers(look, made, len(objects) * len(pairs))]
    return {
        "separation": np.array(found, np.float32).reshape(len(objects), len(pairs), 2),
        "pair_centres": np.array(pairs, np.int64).reshape(-1, 2, 2),
    }


def plain_colours(look: Look) -> Arrays:
    """Pictures of one colour, on which a network without a sense of place gives one value everywhere.

    Returns:
        `solid_colours (c,)` names; as fractions of each map's root mean square, NaN where that is 0: `solid_variation (c, k)`,
        the standard deviation over the map, 0..1, and `border_profile (c, k, d)`, of `translation.border_profile`;
        `border_distance (d,)`, pixels of the input.
    """
    size = look.model.image_size
    made = ((solid(size, colour), Covered()) for colour in SOLID.values())
    maps = np.stack([_prototypes(found).cpu().numpy() for found, _ in _answers(look, made, len(SOLID))]).astype(np.float64)
    strength = np.sqrt((maps**2).mean(axis=(2, 3)))
    strength[strength == 0] = np.nan
    profile = translation.border_profile(maps) / strength[..., None]
    return {
        "solid_colours": np.array(list(SOLID), str),
        "solid_variation": (maps.std(axis=(2, 3)) / strength).astype(np.float32),
        "border_profile": profile.astype(np.float32),
        "border_distance": ((np.arange(profile.shape[-1]) + 0.5) * size / maps.shape[-1]).astype(np.float32),
    }


def shown(look: Look, pictures: dict[str, Picture]) -> Arrays:
    """The probes to be looked at.

    Returns:
        `names (m,)`, `images (m, S, S, 3) uint8`, `maps (m, k, a, b) float16`, at most STORED_SIDE wide, as fractions of each
        prototype's largest absolute value over them.
    """
    made = ((picture, Covered()) for picture in pictures.values())
    maps = torch.stack([_prototypes(found) for found, _ in _answers(look, made, len(pictures))])
    small = F.adaptive_avg_pool2d(maps, (min(STORED_SIDE, maps.shape[-2]), min(STORED_SIDE, maps.shape[-1])))
    largest = small.abs().amax(dim=(0, 2, 3), keepdim=True)
    return {
        "names": np.array(list(pictures), str),
        "images": np.stack(list(pictures.values())),
        "maps": (small / largest.clamp(min=torch.finfo(small.dtype).tiny)).cpu().numpy().astype(np.float16),
    }


def summary(arrays: Arrays, phases: int) -> dict[str, Any]:
    """The numbers of a whole network, means over prototypes, colours, objects and places.

    Shares of the variance are those of all prototypes' together: a prototype that hardly varies does no harm to a mask.
    """
    variance = arrays["variance"]
    weight = variance / variance.sum() if variance.any() else np.full_like(variance, np.nan)
    profile = arrays["border_profile"].reshape(-1, arrays["border_profile"].shape[-1])
    profile = profile[np.isfinite(profile[:, 0])]
    pixels = float(arrays["border_distance"][0]) * 2
    return {
        "objects": len(arrays["activation"]),
        "live": int(np.isfinite(arrays["position"]).sum()),
        **{name: _sum(arrays[name] * weight) for name in ("position", "aliasing", "content")},
        "readout": translation.readout(arrays["activation"], phases),
        "solid_variation": _mean(arrays["solid_variation"]),
        "border_reach": translation.reach(profile.mean(axis=0)) * pixels if len(profile) else None,
        "mask": {
            "found": _mean(arrays["score"] > 0),
            "iou": _mean(arrays["mask_iou"]),
            "position": _mean(translation.total_effects(arrays["mask_iou"][..., None], phases)["position"]),
            "separation": _mean(arrays["separation"]),
        },
    }


def _answers(look: Look, made: Iterable[tuple[Picture, Covered]], total: int) -> Iterator[tuple[Detections, Covered]]:
    """What the network found in each of `total` pictures, with what each object covers of it."""
    inference = look.inference.replace(masks=True, max_detections=DETECTIONS)
    remaining = iter(made)
    for _ in steps(look, list(range(-(-total // BATCH)))):
        pictures, covered = zip(*islice(remaining, BATCH), strict=True)
        tensors = [torch.from_numpy(picture).permute(2, 0, 1).to(look.device) for picture in pictures]
        yield from zip(look.predictor.predict(tensors, inference), covered, strict=True)


def _prototypes(found: Detections) -> Tensor:
    if found.prototypes is None:
        raise ValueError("prediction kept no prototypes")
    return found.prototypes


def _mean_over(maps: Tensor, covered: NDArray[np.bool_]) -> Tensor:
    """(n,) means of (n, h, w) maps over what (S, S) covers, each map pixel weighted by the part of it that is covered."""
    whole = torch.from_numpy(covered)[None].to(maps.device, maps.dtype)
    weight = F.adaptive_avg_pool2d(whole, (maps.shape[-2], maps.shape[-1]))
    return (maps * weight).sum((1, 2)) / weight.sum()


def _mask_numbers(found: Detections, covered: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Score, mask IoU, mean probability over the object and elsewhere, of the detection that fits it; zeros where none does.

    The probabilities are NaN where masks are no linear combinations, so that there is no mask before the crop.
    """
    number = _match(found, covered)
    if number is None or found.masks is None:
        return 0.0, 0.0, 0.0, 0.0
    truth, mask = torch.from_numpy(covered).to(found.masks.device), found.masks[number]
    overlap = float((mask & truth).sum() / (mask | truth).sum())
    if found.coefficients is None:
        return float(found.scores[number]), overlap, math.nan, math.nan
    probability = _uncropped(found, number)
    over, elsewhere = float(_mean_over(probability, covered)[0]), float(_mean_over(probability, ~covered)[0])
    return float(found.scores[number]), overlap, over, elsewhere


def _separation(found: Detections, covered: Covered) -> list[float]:
    """For each of two objects: mean probability of its mask over it, less that over the other; NaN where it was not found."""
    differences = []
    for own, twin in (covered, covered[::-1]):
        number = _match(found, own)
        if number is None or found.coefficients is None:
            differences.append(math.nan)
            continue
        probability = _uncropped(found, number)
        differences.append(float(_mean_over(probability, own)[0] - _mean_over(probability, twin)[0]))
    return differences


def _match(found: Detections, covered: NDArray[np.bool_]) -> int | None:
    """The detection whose box overlaps the object's most, by MATCH_IOU at least."""
    if not len(found):
        return None
    overlaps = box_iou(found.boxes, torch.tensor([box_of(covered)], dtype=found.boxes.dtype, device=found.boxes.device))[:, 0]
    best = int(overlaps.argmax())
    return best if float(overlaps[best]) >= MATCH_IOU else None


def _uncropped(found: Detections, number: int) -> Tensor:
    """(1, h, w) mask probabilities of a detection."""
    if found.coefficients is None:
        raise ValueError("prediction kept no coefficients")
    return mask_assembly.assemble(_prototypes(found), found.coefficients[number : number + 1])


def _sum(values: NDArray[Any]) -> float | None:
    """Of those that are numbers; None where none is."""
    defined = values[np.isfinite(values)]
    return float(defined.sum()) if defined.size else None


def _mean(values: NDArray[Any]) -> float | None:
    """Of those that are numbers; None where none is."""
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if defined.size else None
