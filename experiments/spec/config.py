"""Everything one run is made of, as one validated value. Specs, scales and `--set` name its fields by dotted path."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from yolact.config import (
    CoefficientsConfig,
    Config,
    ErrorsConfig,
    EvaluationConfig,
    InferenceConfig,
    LeakageConfig,
    ModelConfig,
    ProbesConfig,
    PrototypesConfig,
    RedundancyConfig,
    ResponsesConfig,
    SpeedConfig,
    StabilityConfig,
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
    """Processes that load and augment images beside each training loop; they change no result."""
    devices: Annotated[int, Field(gt=0)] = 1
    """Processes per node that train one network together, each on a device of its own, with `threads` threads."""
    nodes: Annotated[int, Field(gt=0)] = 1
    """Machines that train one network together. `devices` × `nodes` is part of a training's id where it changes the result:
    on the CPU, and where batch norm is trained."""

    @property
    def processes(self) -> int:
        """All processes of one training."""
        return self.devices * self.nodes


class RunConfig(Config):
    """One run: a network, its training, its use, what is measured, and on what machine. The data set is the scale's choice."""

    model: ModelConfig = YolactConfig()
    training: TrainingConfig = TrainingConfig()
    inference: InferenceConfig = InferenceConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    speed: SpeedConfig = SpeedConfig()
    prototypes: PrototypesConfig = PrototypesConfig()
    responses: ResponsesConfig = ResponsesConfig()
    probes: ProbesConfig = ProbesConfig()
    redundancy: RedundancyConfig = RedundancyConfig()
    coefficients: CoefficientsConfig = CoefficientsConfig()
    leakage: LeakageConfig = LeakageConfig()
    errors: ErrorsConfig = ErrorsConfig()
    stability: StabilityConfig = StabilityConfig()
    runtime: RuntimeConfig = RuntimeConfig()

    @model_validator(mode="after")
    def _equal_shares(self) -> Self:
        images, processes = self.training.batch_size, self.runtime.processes
        if images % processes:
            raise ValueError(
                f"training.batch_size {images} can't be split equally over {processes} processes "
                f"(runtime.devices {self.runtime.devices} × runtime.nodes {self.runtime.nodes}); change one of them"
            )
        return self
