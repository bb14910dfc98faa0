"""What each prototype responds to."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from yolact.config.base import Config
from yolact.config.fields import Positive
from yolact.measures.declaration import File, Measure, Scalar


class ResponsesConfig(Config):
    """What each prototype responds to (`yolact/measures/responses/measure.py`)."""

    images: Annotated[int, Field(ge=2)] = 100
    """Images of the evaluated split, in the order of their ids."""
    random_networks: Positive = 3
    """Networks with random weights that say what comes without learning."""


MEASURE = Measure(
    name="responses",
    config=ResponsesConfig,
    version=1,
    input="train",
    function="yolact.measures.responses.measure:measure",
    title="What each prototype responds to",
    files=(
        File(
            "responses.csv",
            "A row per image and prototype; empty where an image lacks what is asked for.",
            "image_id, prototype, and the correlations and IoUs of `yolact.measures.responses.described.PER_IMAGE`",
        ),
        File(
            "prototypes.csv",
            "A row per prototype of each source: the network, its pixels shuffled, networks with random weights.",
            "source (`network`, `shuffled`, `random <i>`), prototype, spread; the mean over images of each of PER_IMAGE with "
            "<name>_se and <name>_n; boundaries as fractions of the side",
        ),
        File("maps.npz", "The mean activation of each prototype.", "mean (k, h, w) float32"),
        File("summary.json", "What was looked at.", "prototypes, images, height, width, random_networks"),
    ),
    scalars=(
        Scalar(
            "object_overlap",
            "IoU of a prototype with an object",
            "%",
            ("iou_one",),
            "responses.csv",
            scale=100,
            better="higher",
        ),
    ),
)
