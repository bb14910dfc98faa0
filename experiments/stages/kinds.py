"""The one table of stage kinds: what each reads, what it builds on, and the function that does it.

A kind's `version` is bumped by hand whenever the bytes of its result change for the same fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from experiments.spec.config import RunConfig
from yolact.config import Config
from yolact.training.ranks import ALONE, Ranks

MOST_TOGETHER = 16
"""Most stages in one worker: all of them hold what they found in memory until the end."""
Fields = dict[str, Config | Any]
"""What a kind reads: configuration values and plain data."""


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
class Ended:
    """How one of several stages ended that were worked on together."""

    error: Exception | None
    """What it failed of, or `Interrupted`; None where its output is complete."""
    own_seconds: float
    """Time spent for this stage alone, by the clock: what is done beside other work counts as far as it was waited for."""
    shared_seconds: float
    """Time spent once for all of them."""
    seconds: float
    """All the time they took."""

    def others_seconds(self, stages: int) -> float:
        """How much of that time counts for the other stages, of so many in all."""
        return self.seconds - self.own_seconds - self.shared_seconds / stages


@dataclass(frozen=True)
class Kind:
    """One row of the table."""

    version: int
    fields: Callable[[RunConfig, str], Fields]
    """(configuration, evaluated split) -> what this kind reads. It enters the id, as far as it differs from the defaults."""
    function: str
    """"module:function", imported only where the stage runs."""
    inputs: tuple[str, ...] = ()
    seeded: bool = False
    exclusive: bool = False
    """Runs alone on its machine, since it measures time."""
    distributed: bool = False
    """May be worked on by several processes together, `runtime.devices` × `runtime.nodes` of them."""
    together: str = ""
    """Where stages on the same inputs can share work: the function, as above, that does several of them."""
    shared: Callable[[Mapping[str, Any], Mapping[str, Mapping[str, Any]]], Any] = lambda fields, inputs: fields
    """(fields, fields of each input by its kind) -> what must be equal for that; None where nothing can be shared."""

    def load(self) -> Callable[[StageContext], None]:
        """The function itself."""
        return _load(self.function)

    def load_together(self) -> Callable[[Sequence[StageContext]], list[Ended]]:
        """The function that does several stages at once."""
        return _load(self.together)


def _load(reference: str) -> Callable[..., Any]:
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


def _train(config: RunConfig, split: str) -> Fields:
    return {"model": config.model, "training": config.training, **_split_of_batches(config)}


def _split_of_batches(config: RunConfig) -> Fields:
    """The number of processes, where it changes what the id promises.

    Batch norm, where it is trained, normalises by the images of one process. Else the split changes no more than the rounding
    of sums, but on the CPU an id promises the same bytes.
    """
    changes = config.runtime.device == "cpu" or not config.model.backbone.freeze_bn
    return {"processes": config.runtime.processes} if changes and config.runtime.processes > 1 else {}


def _predict(config: RunConfig, split: str) -> Fields:
    return {"inference": config.inference, "split": split}


_AFTER_THE_NETWORK = (
    *("suppression", "nms_iou", "score_threshold", "second_score_threshold", "pre_nms_top_k", "max_detections"),
    *("cap_cross_class", "crop", "crop_padding", "mask_threshold", "whole_pixel_boxes"),
)
"""Fields of `InferenceConfig` that say what is done with the network's outputs."""


def forward_pass(fields: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """What of a `predict` stage's fields decides about the network's outputs. Unless known to come later, a field does.

    Mask R-CNN suppresses in the middle of its network.
    """
    if inputs["train"]["model"]["kind"] == "mask_rcnn":
        return None
    read = {name: value for name, value in fields["inference"].items() if name not in _AFTER_THE_NETWORK}
    if read["intervention"]["kind"] != "padding":  # the others change what was found, not the network
        read.pop("intervention")
    return {**fields, "inference": read}


def _coco(config: RunConfig, split: str) -> Fields:
    return {"evaluation": config.evaluation.replace(split=split)}


def _speed(config: RunConfig, split: str) -> Fields:
    return {
        "inference": config.inference,
        "speed": config.speed,
        "split": split,
        "device_name": _device_name(config.runtime.device),
        "libraries": {name: metadata.version(name) for name in ("torch", "torchvision")},
    }


def _errors(config: RunConfig, split: str) -> Fields:
    return {"errors": config.errors, "split": split}


def _look(name: str) -> Callable[[RunConfig, str], Fields]:
    """Fields of a kind that looks at the network through images: its own, those of inference, and the split."""
    return lambda config, split: {"inference": config.inference, name: getattr(config, name), "split": split}


def _device_name(device: str) -> str:
    from experiments.run.provenance import planned_device_name

    return planned_device_name(device)


KINDS: Mapping[str, Kind] = {
    "train": Kind(3, _train, "experiments.stages.network:train", seeded=True, distributed=True),
    "predict": Kind(
        1,
        _predict,
        "experiments.stages.predict:predict",
        inputs=("train",),
        together="experiments.stages.predict:predict_together",
        shared=forward_pass,
    ),
    "coco": Kind(1, _coco, "experiments.stages.network:coco", inputs=("predict",)),
    "speed": Kind(1, _speed, "experiments.stages.network:speed", inputs=("train",), exclusive=True),
    "prototypes": Kind(1, _look("prototypes"), "experiments.stages.measure:prototypes", inputs=("train",)),
    "responses": Kind(1, _look("responses"), "experiments.stages.measure:responses", inputs=("train",)),
    "probes": Kind(1, _look("probes"), "experiments.stages.measure:probes", inputs=("train",)),
    "redundancy": Kind(1, _look("redundancy"), "experiments.stages.measure:redundancy", inputs=("train",)),
    "coefficients": Kind(1, _look("coefficients"), "experiments.stages.measure:coefficients", inputs=("train",)),
    "leakage": Kind(1, _look("leakage"), "experiments.stages.measure:leakage", inputs=("train",)),
    "errors": Kind(1, _errors, "experiments.stages.measure:errors", inputs=("predict",)),
    "stability": Kind(1, _look("stability"), "experiments.stages.measure:stability", inputs=("train",)),
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
