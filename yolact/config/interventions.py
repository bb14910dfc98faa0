"""Changes made to what a trained network found, before it is evaluated: each asks what the masks depend on.

They need no training, so variants that differ in nothing else share one. `yolact/interventions/` carries them out.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, cast

from pydantic import Field

from yolact.config.base import Config
from yolact.config.fields import Positive, kinds_in
from yolact.config.model.parts import Padding


class AnyIntervention(Config):
    """What planning reads of every intervention."""

    changes_network: ClassVar[bool] = False
    """Whether it changes the network's outputs, and not only what is made of them."""


class NoIntervention(AnyIntervention):
    """Detections as the network gives them."""

    kind: Literal["none"] = "none"


class KeepConfig(AnyIntervention):
    """Assemble masks from the most used prototypes alone."""

    kind: Literal["keep"] = "keep"
    m: Positive = 8
    """How many prototypes are kept, those with the largest mean |coefficient| x activation over training images first."""


class ProjectConfig(AnyIntervention):
    """Assemble masks from the prototypes' projection on their first principal components."""

    kind: Literal["project"] = "project"
    m: Positive = 8
    """How many components are kept, those of the training images' prototype pixels."""


class NoiseConfig(AnyIntervention):
    """Add normal noise to the coefficients."""

    kind: Literal["noise"] = "noise"
    std: Annotated[float, Field(ge=0)] = 0.1
    """Standard deviation of the noise."""
    on: Literal["all", "one"] = "all"
    """Every coefficient of a detection, or one of them, drawn anew for each detection."""


class OracleConfig(AnyIntervention):
    """Put ground truth in the place of one part of each detection that finds an object."""

    kind: Literal["oracle"] = "oracle"
    part: Literal["coefficients", "prototypes", "masks", "boxes", "classes"] = "coefficients"
    """What is replaced: the coefficients (by those whose mask fits the object best), the prototypes (by any that could be: the
    object's mask at their resolution, cropped by the predicted box), the mask, the box (and the crop by it), or the label."""


class PaddingConfig(AnyIntervention):
    """Run the network with another padding than it was trained with."""

    changes_network = True

    kind: Literal["padding"] = "padding"
    mode: Padding = "reflect"


Intervention = Annotated[
    NoIntervention | KeepConfig | ProjectConfig | NoiseConfig | OracleConfig | PaddingConfig, Field(discriminator="kind")
]


def intervention_class(kind: str) -> type[AnyIntervention]:
    """The class of the interventions of a kind."""
    return cast(type[AnyIntervention], kinds_in(Intervention)[kind])
