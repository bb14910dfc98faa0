"""How long a stage will take and how much memory, from the throughput of earlier stages in the results folder.

Stages are alike that have the same kind, device and threads and the same size of network: model kind, backbone, image size.
A training's work is iterations × images per iteration; that of other kinds is their data set, so that they are compared
within one alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.cli.progress import duration
from experiments.plan.build import Stage
from experiments.store.contents import readable_size
from experiments.store.folder import Store
from experiments.store.states import State

_Key = tuple[Any, ...]


@dataclass(frozen=True)
class Budget:
    """What a stage is expected to take; None where nothing alike was measured."""

    seconds: float | None
    """Wall-clock time on its own: the median of what was measured, scaled to this stage's work."""
    memory_bytes: int | None
    """Most memory that any stage alike has held: of the graphics card where it ran on one, else of the machine."""
    measured: int
    """How many earlier stages say so."""
    sharable_seconds: float | None = None
    """What of the time is saved where another stage on the same inputs shares its work; None where it can't, or unknown."""

    def __str__(self) -> str:
        if self.seconds is None:
            return "unknown"
        memory = f", {readable_size(self.memory_bytes)}" if self.memory_bytes else ""
        return f"{duration(self.seconds)}{memory}"


UNKNOWN = Budget(None, None, 0)


class Budgets:
    """The measured throughput of a results folder, read once.

    Args:
        planned: stages that may not be recorded yet, by id; a stage's network is that of the training it builds on.
    """

    def __init__(self, store: Store, planned: Mapping[str, Stage] | None = None) -> None:
        self.store = store
        self.contents: dict[str, Mapping[str, Any]] = {stage_id: stage.content for stage_id, stage in (planned or {}).items()}
        self._rates: dict[_Key, list[float]] = {}
        self._memory: dict[_Key, int] = {}
        self._sharable: dict[_Key, list[float]] = {}
        views = store.records()
        for view in views:
            self.contents.setdefault(view.id, view.record)
        for view in views:
            status = view.status
            key = self._key(view.record)
            if status.state == State.DONE and status.wall_seconds and key is not None:
                shared = status.shared or {"stages": 1, "seconds": 0.0}
                alone = status.wall_seconds + shared["seconds"] * (1 - 1 / shared["stages"])
                self._rates.setdefault(key, []).append(alone / _work(view.record))
                if status.shared:
                    self._sharable.setdefault(key, []).append(shared["seconds"])
                self._memory[key] = max(self._memory.get(key, 0), status.peak_memory_bytes or 0)

    def of(self, stage: Stage) -> Budget:
        """What the stage is expected to take."""
        key = self._key(stage.content)
        rates = self._rates.get(key, []) if key is not None else []
        if not rates or key is None:
            return UNKNOWN
        sharable = self._sharable.get(key)
        seconds = statistics.median(rates) * _work(stage.content)
        return Budget(seconds, self._memory[key] or None, len(rates), statistics.median(sharable) if sharable else None)

    def _key(self, content: Mapping[str, Any]) -> _Key | None:
        network = self._network(content)
        if network is None:
            return None
        data = None if "training" in content["fields"] else content["data"]
        precision = content["fields"].get("training", {}).get("precision")
        return content["kind"], content["device"], content["threads"], data, precision, network

    def _network(self, content: Mapping[str, Any]) -> _Key | None:
        """Kind, backbone and image size of the model that the stage, or what it builds on, trains."""
        model = content["fields"].get("model")
        if isinstance(model, Mapping):
            return model.get("kind"), model.get("backbone", {}).get("name"), model.get("image_size")
        for needed in content["inputs"].values():
            if needed in self.contents:
                return self._network(self.contents[needed])
        return None


def budget(stage: Stage, store: Store) -> Budget:
    """What one recorded or planned stage is expected to take; for many, make one `Budgets`."""
    return Budgets(store, {stage.id: stage}).of(stage)


def _work(content: Mapping[str, Any]) -> float:
    training = content["fields"].get("training")
    return float(training["iterations"] * training["batch_size"]) if isinstance(training, Mapping) else 1.0
