"""How fast networks were measured to train, so that a plan can say what it takes. Nothing here is estimated.

A training's seconds per iteration are the median over the intervals of its log, so that start-up and interruptions don't count.
They are taken from the trainings of a results folder, and from `results/reference/*/throughput.json`, which holds a list of
`Throughput`s made by `python -m experiments.plan.throughput RESULTS`. They hold for a training with the same network, batch,
precision and kind of device; length, seed and data may differ.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from experiments.spec.resolve import flatten
from experiments.store.folder import Store
from experiments.store.states import State

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"
_TRAINING = ("batch_size", "micro_batches", "precision", "compile")


@dataclass(frozen=True)
class Throughput:
    """One measurement."""

    seconds_per_iteration: float
    device: str
    """Such as "NVIDIA H200"."""
    date: str
    stage: str
    """Id of the training it was measured on."""
    data: str
    """Name of its data set."""
    fields: Mapping[str, Any]
    """{dotted field: value} of all that training speed depends on."""

    def fits(self, content: Mapping[str, Any]) -> bool:
        """Whether it holds for a train stage; fields that did not exist when it was measured are not asked for."""
        planned = _fields(content)
        return all(planned.get(name) == value for name, value in self.fields.items())

    @property
    def citation(self) -> str:
        """`train-0123456789abcdef on NVIDIA H200, data shapes, 2026-11-20`."""
        return f"{self.stage} on {self.device}, data {self.data}, {self.date}"


def known(store: Store, reference: Path = REFERENCE) -> list[Throughput]:
    """Every measurement at hand, those of the results folder first."""
    kept = [row for path in sorted(reference.glob("*/throughput.json")) for row in json.loads(path.read_text(encoding="utf-8"))]
    return [*measured(store), *(Throughput(**row) for row in kept)]


def measured(store: Store) -> Iterator[Throughput]:
    """The measurements of a results folder's finished trainings; those too short to measure are left out."""
    for view in store.records():
        if view.kind == "train" and view.state == State.DONE and (seconds := _seconds_per_iteration(view.log)) is not None:
            yield Throughput(
                seconds_per_iteration=seconds,
                device=str(view.env.get("device_name") or view.record["device"]),
                date=str(view.status.finished or "")[:10],
                stage=view.id,
                data=Path(str(view.record.get("location", {}).get("data", ""))).name,
                fields=_fields(view.record),
            )


def hours(content: Mapping[str, Any], throughputs: Sequence[Throughput]) -> tuple[float, Throughput] | None:
    """Hours that a train stage takes and the measurement that says so; None where nothing fits."""
    found = next((one for one in throughputs if one.fits(content)), None)
    return (content["fields"]["training"]["iterations"] * found.seconds_per_iteration / 3600, found) if found else None


def _fields(content: Mapping[str, Any]) -> dict[str, Any]:
    model = {".".join(path): value for path, value in flatten({"model": content["fields"]["model"]}).items()}
    given = content["fields"]["training"]
    training = {f"training.{name}": given[name] for name in _TRAINING if name in given}
    model.pop("model.backbone.weights", None)
    return {**model, **training, "device": content["device"]}


def _seconds_per_iteration(log: Sequence[Mapping[str, Any]]) -> float | None:
    steps = [(datetime.fromisoformat(event["time"]), event["iteration"]) for event in log if event.get("event") == "step"]
    rates = [(t - s).total_seconds() / (j - i) for (s, i), (t, j) in pairwise(steps) if j > i]
    return statistics.median(rates) if len(rates) >= 3 else None


if __name__ == "__main__":
    print(json.dumps([asdict(one) for one in measured(Store(sys.argv[1]))], indent=1))
