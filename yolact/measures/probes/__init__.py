"""How much of an activation is place, on generated images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from yolact.config.base import Config
from yolact.config.fields import Positive
from yolact.measures.declaration import File, Measure, Scalar


class ProbesConfig(Config):
    """Generated images that tell place from content (`yolact/measures/probes/measure.py`), as in the paper's figure 5."""

    objects: Positive = 4
    """Objects that are moved: drawn as those of `shapes` are, or cut from images of the evaluated split."""
    cells: Annotated[int, Field(ge=2)] = 6
    """Places of an object along each axis that differ by multiples of the network's largest stride; as many as fit."""
    phases: Literal[1, 2, 4, 8] = 4
    """Shifts below that stride, along each axis, at which they are taken again, to tell aliasing from a sense of place."""


MEASURE = Measure(
    name="probes",
    config=ProbesConfig,
    version=1,
    input="train",
    function="yolact.measures.probes.measure:measure",
    title="How much of an activation is place, on generated images",
    files=(
        File(
            "probes.npz",
            "Activations and masks of objects moved over P places along each axis; NaN where a prototype does not vary.",
            "places (P,) pixels; activation (o, P, P, k), rows first; score, mask_iou, mask_over, mask_elsewhere (o, P, P); "
            "position, aliasing, content, variance (k,); separation (o, q, 2), pair_centres (q, 2, 2); solid_colours (c,), "
            "solid_variation (c, k), border_profile (c, k, d), border_distance (d,); names (m,), images (m, S, S, 3) uint8, "
            "maps (m, k, a, b) float16",
        ),
        File(
            "summary.json",
            "Means over prototypes, colours, objects and places; null where undefined.",
            "prototypes, image_size, stride, cells, phases, source (`drawn` or `cut`), objects, live, position, aliasing, "
            "content (shares of all prototypes' variance together), solid_variation, border_reach (pixels), readout {x, y, "
            "shuffled} (R²), mask {found, iou, position, separation}",
        ),
    ),
    scalars=(
        Scalar("position_share", "place's part in the activation over an object", "%", ("position",), scale=100),
        Scalar("aliasing_share", "part of shifts below the stride", "%", ("aliasing",), scale=100),
        Scalar("content_share", "the object's part", "%", ("content",), scale=100),
        Scalar("readout_x", "column read from the prototypes", "R²", ("readout", "x"), decimals=2),
        Scalar("readout_y", "row read from the prototypes", "R²", ("readout", "y"), decimals=2),
        Scalar("readout_shuffled", "the same with cells in random order", "R²", ("readout", "shuffled"), decimals=2),
        Scalar("solid_variation", "variation on one colour", "% of the map's strength", ("solid_variation",), scale=100),
        Scalar("border_reach", "reach of the border on one colour", "px of the input", ("border_reach",)),
        Scalar("moved_mask_iou", "mask IoU of the moved object", "%", ("mask", "iou"), scale=100, better="higher"),
        Scalar("moved_mask_position", "place's part in that IoU", "%", ("mask", "position"), scale=100),
        Scalar(
            "separation",
            "mask on the object less on its twin, before the crop",
            "points of probability",
            ("mask", "separation"),
            scale=100,
            better="higher",
        ),
    ),
)
