"""The validated configuration of one run. Specs, scales and `--set` name its fields by dotted path."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import Field, create_model, model_validator

from yolact.config import Config, EvaluationConfig, InferenceConfig, ModelConfig, SpeedConfig, TrainingConfig, YolactConfig
from yolact.config.base import at_odds
from yolact.measures import NAMES, declarations


class RuntimeConfig(Config):
    """Hardware that a stage runs on."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Device type; part of every stage's id."""
    threads: Annotated[int, Field(gt=0)] = 1
    """CPU threads of one stage; part of every stage's id, because the last bits of weights depend on the number of threads."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes that load and augment images beside each training loop; they change no result."""
    devices: Annotated[int, Field(gt=0)] = 1
    """Processes per node that train one network together, each on its own device, with `threads` threads."""
    nodes: Annotated[int, Field(gt=0)] = 1
    """Machines that train one network together. `devices` × `nodes` is part of a training's id if it changes the result:
    on the CPU, and when batch norm is trained."""

    @property
    def processes(self) -> int:
        """All processes of one training."""
        return self.devices * self.nodes


class RunConfig(Config):
    """Configuration of one run: model, training, inference, evaluation, speed and hardware. The scale chooses the data set.

    `run_config` adds a field for each measure.
    """

    model: ModelConfig = YolactConfig()
    training: TrainingConfig = TrainingConfig()
    inference: InferenceConfig = InferenceConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    speed: SpeedConfig = SpeedConfig()
    runtime: RuntimeConfig = RuntimeConfig()

    @model_validator(mode="after")
    def _equal_shares(self) -> Self:
        images, processes = self.training.batch_size, self.runtime.processes
        if images % processes:
            message = (
                f"training.batch_size {images} can't be split equally over {processes} processes "
                f"(runtime.devices {self.runtime.devices} × runtime.nodes {self.runtime.nodes}); change one of them"
            )
            raise at_odds(message, "training.batch_size", "runtime.devices", "runtime.nodes")
        return self


@cache
def run_config(outside: tuple[str, ...] = ()) -> type[RunConfig]:
    """`RunConfig` with the configuration of every measure, under its name.

    Args:
        outside: import paths of measures from outside the package.

    Raises:
        UnknownMeasure: one of them is not a measure.
    """
    fields: dict[str, Any] = {}
    for measure in declarations((*NAMES, *outside)):
        fields[measure.name] = (measure.config, measure.config())
    return create_model("RunConfig", __base__=RunConfig, __doc__=RunConfig.__doc__, **fields)
