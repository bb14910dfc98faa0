"""The table of stage kinds, each with its fields, its inputs and its function.

A kind's `version` is raised by hand whenever the bytes of its result change for the same fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from experiments.spec.config import RunConfig
from experiments.stages.kind import Fields, Kind
from yolact.config import InferenceConfig
from yolact.config.fields import AfterNetwork, marked
from yolact.config.interventions import intervention_class
from yolact.config.model import model_class
from yolact.measures import declarations
from yolact.measures.declaration import Measure
from yolact.runtime.hardware import planned_device_name


def _train(config: RunConfig, split: str) -> Fields:
    return {"model": config.model, "training": config.training, **_split_of_batches(config)}


def _split_of_batches(config: RunConfig) -> Fields:
    """The number of processes, if it changes the result that the id promises.

    Trained batch norm normalises by the images of one process. Without it the split changes only the rounding of sums, but on
    the CPU an id promises equal bytes.
    """
    changes = config.runtime.device == "cpu" or config.model.trains_batch_norm
    return {"processes": config.runtime.processes} if changes and config.runtime.processes > 1 else {}


def _predict(config: RunConfig, split: str) -> Fields:
    return {"inference": config.inference, "split": split}


_AFTER_NETWORK = {name for (name, *_) in marked(InferenceConfig, AfterNetwork)}


def forward_pass(fields: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """The fields of a `predict` stage that affect the network's outputs: all except those marked `AfterNetwork`.

    None if the model's forward pass can't be shared.
    """
    if not model_class(inputs["train"]["model"]["kind"]).shares_forward_pass:
        return None
    read = {name: value for name, value in fields["inference"].items() if name not in _AFTER_NETWORK}
    if not intervention_class(read["intervention"]["kind"]).changes_network:
        read.pop("intervention")
    return {**fields, "inference": read}


def _coco(config: RunConfig, split: str) -> Fields:
    return {"evaluation": config.evaluation.replace(split=split)}


def _speed(config: RunConfig, split: str) -> Fields:
    return {
        "inference": config.inference,
        "speed": config.speed,
        "split": split,
        "device_name": planned_device_name(config.runtime.device),
        "libraries": {name: metadata.version(name) for name in ("torch", "torchvision")},
    }


def measure_kind(measure: Measure) -> Kind:
    """The kind of a measure. A measure on the trained network also reads the fields of inference."""

    def fields(config: RunConfig, split: str) -> Fields:
        seen = {"inference": config.inference} if measure.input == "train" else {}
        return {**seen, measure.name: getattr(config, measure.name), "split": split}

    function = f"experiments.stages.measure:of_{measure.input}"
    return Kind(measure.version, fields, function, inputs=(measure.input,), measure=measure.name)


KINDS: Mapping[str, Kind] = {
    "train": Kind(3, _train, "experiments.stages.train:train", seeded=True, distributed=True),
    "predict": Kind(
        1,
        _predict,
        "experiments.stages.predict:predict",
        inputs=("train",),
        together="experiments.stages.predict:predict_together",
        shared=forward_pass,
    ),
    "coco": Kind(1, _coco, "experiments.stages.evaluate:coco", inputs=("predict",)),
    "speed": Kind(1, _speed, "experiments.stages.evaluate:speed", inputs=("train",), exclusive=True),
    **{measure.name: measure_kind(measure) for measure in declarations()},
}
