"""How long each stage will take and how much memory, for the order of work: as measured, else by its kind and size."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from experiments.plan.budget import Budgets
from experiments.plan.build import Stage
from experiments.plan.throughput import hours, known
from experiments.store.folder import Store

_TWO_STAGES = 10
"""How much longer Mask R-CNN trains than YOLACT at the same size: about so much on a CPU."""


class Expected:
    """Of the stages of a plan."""

    def __init__(self, store: Store, stages: Mapping[str, Stage]) -> None:
        budgets = Budgets(store, stages)
        self._budgets = {stage_id: budgets.of(stage) for stage_id, stage in stages.items()}
        measured = {stage_id: budget.seconds for stage_id, budget in self._budgets.items()}
        unknown = [stage for stage in stages.values() if measured[stage.id] is None and stage.kind == "train"]
        throughputs = known(store) if unknown else []
        for stage in unknown:
            found = hours(stage.content, throughputs)
            measured[stage.id] = found[0] * 3600 if found else None
        ratios = [seconds / work(stages[stage_id]) for stage_id, seconds in measured.items() if seconds]
        unit = statistics.median(ratios) if ratios else 1.0
        self._seconds = {
            stage_id: unit * work(stages[stage_id]) if seconds is None else seconds for stage_id, seconds in measured.items()
        }

    def seconds(self, stage: Stage) -> float:
        """What the stage takes on its own, in seconds where anything like it was measured, else in units of `work`."""
        return self._seconds[stage.id]

    def memory_bytes(self, stage: Stage) -> int:
        """Most main memory that a stage alike has held; 0 where unknown, or where the figure is of a graphics card."""
        return (self._budgets[stage.id].memory_bytes or 0) * stage.processes if stage.content["device"] == "cpu" else 0


def work(stage: Stage) -> float:
    """A rough measure of a stage's length: input pixels it looks at, in units of a small evaluation."""
    fields = stage.content["fields"]
    training = fields.get("training")
    if not isinstance(training, Mapping):
        return 1.0
    model = fields.get("model", {})
    pixels = model.get("image_size", 128) ** 2 * (_TWO_STAGES if model.get("kind") == "mask_rcnn" else 1)
    return max(1.0, training["iterations"] * training["batch_size"] * pixels / 1e7)
