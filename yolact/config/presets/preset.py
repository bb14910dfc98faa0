"""One published model: what it takes to train and run it."""

from __future__ import annotations

from dataclasses import dataclass

from yolact.config.categories import COCO, PASCAL
from yolact.config.inference import InferenceConfig
from yolact.config.model import ModelConfig
from yolact.config.training import TrainingConfig

COCO_CLASSES = len(COCO)
PASCAL_CLASSES = len(PASCAL)


@dataclass(frozen=True)
class Preset:
    """One published model. `name` is how specs and commands call it."""

    name: str
    summary: str
    model: ModelConfig
    training: TrainingConfig
    inference: InferenceConfig
    num_classes: int

    @property
    def categories(self) -> dict[int, str]:
        """{category id: name} of the data set that it was published for, in the order of the labels."""
        return PASCAL if self.num_classes == PASCAL_CLASSES else COCO
