"""Estimates of a stage's time and memory from earlier stages.

The time of a training is its iterations at the throughput measured for the same network (`experiments.plan.measured`). The time
of any other stage, and of a training without a measured network, is that of similar stages: same kind, device, threads and size
of network (model kind, backbone, image size). Times of similar trainings are scaled by work, iterations × images per iteration.
Other kinds are compared within one data set.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.plan.build import Stage
from experiments.plan.measured import Throughput, Throughputs
from experiments.store.folder import StageView, Store
from experiments.store.states import State
from yolact.config.model import model_class
from yolact.runtime.units import duration, readable_size

_Key = tuple[Any, ...]


@dataclass(frozen=True)
class Estimate:
    """Expected time and memory of a stage; None if no similar stage was measured."""

    seconds: float | None = None
    """Wall-clock time of a separate run."""
    memory_bytes: int | None = None
    """Peak memory of any similar stage: of the GPU if it ran on one, else of the machine."""
    sharable_seconds: float | None = None
    """Part of the time that is saved if another stage on the same inputs shares its work; None if it can't, or unknown."""
    source: Throughput | None = None
    """The measured throughput that the time follows from; None if it comes from similar stages."""

    def __str__(self) -> str:
        if self.seconds is None:
            return "unknown"
        return duration(self.seconds) + (f", {readable_size(self.memory_bytes)}" if self.memory_bytes else "")


@dataclass
class _Alike:
    """Measurements of similar stages."""

    seconds_per_work: list[float] = field(default_factory=list)
    memory_bytes: int = 0
    sharable_seconds: list[float] = field(default_factory=list)

    def add(self, view: StageView) -> None:
        status = view.status
        assert status.wall_seconds is not None
        shared = status.shared or {"stages": 1, "seconds": 0.0}
        on_its_own = status.wall_seconds + shared["seconds"] * (1 - 1 / shared["stages"])
        self.seconds_per_work.append(on_its_own / _work(view.record))
        if status.shared:
            self.sharable_seconds.append(shared["seconds"])
        self.memory_bytes = max(self.memory_bytes, status.peak_memory_bytes or 0)


class Estimates:
    """Estimates from a results folder, which is read once.

    Args:
        planned: stages, by id, that may not be recorded yet. A stage's network is that of the training it builds on.
    """

    def __init__(self, store: Store, planned: Mapping[str, Stage]) -> None:
        views = store.records()
        self._networks: dict[str, _Key | list[str]] = {view.id: _network_or_inputs(view.record) for view in views}
        self._networks |= {stage_id: _network_or_inputs(stage.content) for stage_id, stage in planned.items()}
        self._alike: dict[_Key, _Alike] = {}
        trainings = []
        for view in views:
            status = view.status
            if status.state == State.DONE and view.kind == "train":
                trainings.append(view)
            key = self._key(view.record)
            if status.state == State.DONE and status.wall_seconds and key is not None:
                self._alike.setdefault(key, _Alike()).add(view)
        self._throughputs = Throughputs(trainings)
        self._made: dict[str, Estimate] = {}

    def of(self, stage: Stage) -> Estimate:
        """The estimate for a stage."""
        if stage.id not in self._made:
            self._made[stage.id] = self._estimate(stage)
        return self._made[stage.id]

    def _estimate(self, stage: Stage) -> Estimate:
        key = self._key(stage.content)
        alike = self._alike.get(key, _Alike()) if key is not None else _Alike()
        memory, sharable = alike.memory_bytes or None, alike.sharable_seconds
        shared = statistics.median(sharable) if sharable else None
        iterations = _iterations(stage.content)
        source = self._throughputs.of(stage.content) if iterations else None
        if source is not None and iterations:
            return Estimate(iterations * source.seconds_per_iteration, memory, shared, source)
        if not alike.seconds_per_work:
            return Estimate()
        return Estimate(statistics.median(alike.seconds_per_work) * _work(stage.content), memory, shared)

    def _key(self, content: Mapping[str, Any]) -> _Key | None:
        network = self._network(_network_or_inputs(content))
        if network is None:
            return None
        training = content["fields"].get("training", {})
        data = None if training else content["data"]
        untrained = _iterations(content) == 0
        return content["kind"], content["device"], content["threads"], data, training.get("precision"), untrained, network

    def _network(self, known: _Key | list[str]) -> _Key | None:
        """Size of the network that a stage trains or builds on; None if that training is neither planned nor recorded."""
        while not isinstance(known, tuple):
            found = next((needed for needed in known if needed in self._networks), None)
            if found is None:
                return None
            known = self._networks[found]
        return known


def lengths(estimates: Estimates, stages: Mapping[str, Stage]) -> dict[str, float]:
    """{id: expected seconds} of stages: from similar measured stages, else `relative_length` scaled to seconds by the measured
    ones."""
    relative = {stage_id: relative_length(stage) for stage_id, stage in stages.items()}
    seconds = {stage_id: estimates.of(stage).seconds for stage_id, stage in stages.items()}
    ratios = [known / relative[stage_id] for stage_id, known in seconds.items() if known]
    unit = statistics.median(ratios) if ratios else 1.0
    return {stage_id: unit * relative[stage_id] if known is None else known for stage_id, known in seconds.items()}


def relative_length(stage: Stage) -> float:
    """A rough length of a stage: input pixels of a training, in units of a small evaluation; 1 for other kinds."""
    fields = stage.content["fields"]
    training = fields.get("training")
    if not isinstance(training, Mapping):
        return 1.0
    model = fields.get("model", {})
    pixels = model.get("image_size", 128) ** 2 * (model_class(model["kind"]).relative_cost if "kind" in model else 1)
    return max(1.0, training["iterations"] * training["batch_size"] * pixels / 1e7)


def _network_or_inputs(content: Mapping[str, Any]) -> _Key | list[str]:
    """Kind, backbone and image size of the model that a stage trains; for other stages, the ids of their inputs."""
    model = content["fields"].get("model")
    if isinstance(model, Mapping):
        return model.get("kind"), model.get("backbone", {}).get("name"), model.get("image_size")
    return list(content["inputs"].values())


def _iterations(content: Mapping[str, Any]) -> int | None:
    """Iterations of a training, 0 if its network stays untrained; None for other kinds."""
    training = content["fields"].get("training")
    return training["iterations"] if isinstance(training, Mapping) else None


def _work(content: Mapping[str, Any]) -> float:
    """Work that the time of similar stages is proportional to."""
    iterations = _iterations(content)
    return float(iterations * content["fields"]["training"]["batch_size"]) if iterations else 1.0
