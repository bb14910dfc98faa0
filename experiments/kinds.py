"""The one table of stage kinds: what each reads, what it builds on, and the function that does it.

A kind's `version` is bumped by hand whenever the bytes of its result change for the same fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from experiments.config import RunConfig
from yolact.ranks import ALONE, Ranks


class Interrupted(Exception):  # noqa: N818 - not a fault
    """A stage function stopped because it was asked to; what it needs to go on lies in its checkpoint folder."""


@dataclass(frozen=True)
class StageContext:
    """All that a stage function may use."""

    fields: Mapping[str, Any]
    """Plain data, as `Kind.fields` gave it."""
    inputs: Mapping[str, Path]
    """{kind: result folder} of the stages this one builds on."""
    seed: int | None
    data: str
    """Name or path of the data set."""
    data_id: str
    data_root: Path
    """Where generated data sets are kept."""
    device: str
    threads: int
    workers: int
    output: Path
    """An empty folder; its files become the stage's result."""
    checkpoint: Path
    """A folder that outlives an interruption."""
    log: Callable[[Mapping[str, Any]], None]
    """Write one event; the time is added."""
    should_stop: Callable[[], bool]
    """Whether to save, raise `Interrupted` and leave."""
    ranks: Ranks = ALONE
    """This process among those that work on the stage together; rank 0 alone writes to `output`."""


@dataclass(frozen=True)
class Kind:
    """One row of the table."""

    version: int
    fields: Callable[[RunConfig, str], dict[str, Any]]
    """(configuration, evaluated split) -> the plain data this kind reads; it enters the id."""
    function: str
    """"module:function", imported only where the stage runs."""
    inputs: tuple[str, ...] = ()
    seeded: bool = False
    exclusive: bool = False
    """Runs alone on its machine, since it measures time."""
    distributed: bool = False
    """May be worked on by several processes together, `runtime.devices` × `runtime.nodes` of them."""

    def load(self) -> Callable[[StageContext], None]:
        """The function itself."""
        module, _, name = self.function.partition(":")
        return getattr(import_module(module), name)


def _train(config: RunConfig, split: str) -> dict[str, Any]:
    return {"model": config.model.to_data(), "training": config.training.to_data(), **_split_of_batches(config)}


def _split_of_batches(config: RunConfig) -> dict[str, Any]:
    """The number of processes, where it changes what the id promises.

    Batch norm, where it is trained, normalises by the images of one process. Else the split changes no more than the rounding
    of sums, but on the CPU an id promises the same bytes.
    """
    changes = config.runtime.device == "cpu" or not config.model.backbone.freeze_bn
    return {"processes": config.runtime.processes} if changes and config.runtime.processes > 1 else {}


def _predict(config: RunConfig, split: str) -> dict[str, Any]:
    return {"inference": config.inference.to_data(), "split": split}


def _coco(config: RunConfig, split: str) -> dict[str, Any]:
    return {"evaluation": {**config.evaluation.to_data(), "split": split}}


def _speed(config: RunConfig, split: str) -> dict[str, Any]:
    return {
        "inference": config.inference.to_data(),
        "speed": config.speed.to_data(),
        "split": split,
        "device_name": _device_name(config.runtime.device),
        "libraries": {name: metadata.version(name) for name in ("torch", "torchvision")},
    }


def _prototypes(config: RunConfig, split: str) -> dict[str, Any]:
    return {"inference": config.inference.to_data(), "prototypes": config.prototypes.to_data(), "split": split}


def _device_name(device: str) -> str:
    from experiments.provenance import planned_device_name

    return planned_device_name(device)


KINDS: Mapping[str, Kind] = {
    "train": Kind(1, _train, "experiments.stages:train", seeded=True, distributed=True),
    "predict": Kind(1, _predict, "experiments.stages:predict", inputs=("train",)),
    "coco": Kind(1, _coco, "experiments.stages:coco", inputs=("predict",)),
    "speed": Kind(1, _speed, "experiments.stages:speed", inputs=("train",), exclusive=True),
    "prototypes": Kind(1, _prototypes, "experiments.stages:prototypes", inputs=("train",)),
}


def with_inputs(measure: tuple[str, ...], kinds: Mapping[str, Kind] = KINDS) -> list[str]:
    """These kinds and all they build on, every kind after its inputs."""
    ordered: list[str] = []

    def add(name: str) -> None:
        for needed in kinds[name].inputs:
            add(needed)
        if name not in ordered:
            ordered.append(name)

    for name in measure:
        add(name)
    return ordered
