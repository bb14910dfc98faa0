"""Everything one run is made of, as one validated value. Specs, scales and `--set` name its fields by dotted path."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from yolact.config import (
    Config,
    EvaluationConfig,
    InferenceConfig,
    ModelConfig,
    PrototypesConfig,
    SpeedConfig,
    TrainingConfig,
    YolactConfig,
)


class RuntimeConfig(Config):
    """What a stage runs on."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Device type; part of every stage's id."""
    threads: Annotated[int, Field(gt=0)] = 1
    """CPU threads of one stage; part of every stage's id, since weights differ in their last bits between counts."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes that load and augment images beside the training loop; they change no result."""


class RunConfig(Config):
    """One run: a network, its training, its use, what is measured, and on what machine. The data set is the scale's choice."""

    model: ModelConfig = YolactConfig()
    training: TrainingConfig = TrainingConfig()
    inference: InferenceConfig = InferenceConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    speed: SpeedConfig = SpeedConfig()
    prototypes: PrototypesConfig = PrototypesConfig()
    runtime: RuntimeConfig = RuntimeConfig()
