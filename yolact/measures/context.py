"""What a measure is given to look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from yolact.config.inference import InferenceConfig
from yolact.data.coco import CocoSplit
from yolact.errors import UserError
from yolact.inference.predictor import Predictor
from yolact.models.base import Model


@dataclass(frozen=True)
class Look:
    """A trained network and the images to look at it through."""

    model: Model
    """In inference mode, on `device`."""
    split: CocoSplit
    """The evaluated split, with ground truth."""
    inference: InferenceConfig
    device: str
    log: Callable[[Mapping[str, Any]], None] = lambda event: None
    """Write one event, such as {"event": "step", "iteration": 3, "iterations": 10}."""
    should_stop: Callable[[], bool] = lambda: False
    """Whether to raise `Stopped` and leave."""

    @cached_property
    def predictor(self) -> Predictor:
        """The model with the engine of `inference`."""
        return Predictor(self.model, self.inference.engine)


def refuse_other_maps(model: Model, what: str) -> None:
    """Raise an error if the model makes masks of maps otherwise than by a linear combination, as CondInst and BlendMask do.

    Raises:
        UserError: saying so of `what`.
    """
    if model.maps is not None and model.prototypes is None:
        raise UserError(
            f"{what}: this network's masks are no linear combinations of its maps, so that it has no coefficients; "
            "responses, probes and redundancy measure the maps themselves"
        )


class Stopped(Exception):  # noqa: N818 - no error: the measure was asked to stop
    """A measure was asked to stop before its end."""


def steps(look: Look, ids: list[int]):
    """These ids one after the other, each step logged; ends with `Stopped` where `look.should_stop` says so.

    Raises:
        Stopped: asked to.
    """
    for number, image_id in enumerate(ids, start=1):
        if look.should_stop():
            raise Stopped(f"stopped after {number - 1} of {len(ids)} images")
        yield image_id
        if number % 25 == 0 or number == len(ids):
            look.log({"event": "step", "iteration": number, "iterations": len(ids)})
