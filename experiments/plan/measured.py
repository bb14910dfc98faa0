"""Measured training throughput: seconds per iteration, as the median over the intervals of a training's log.

The median excludes start-up and interruptions. Measurements come from the trainings of a results folder, and from
`results/reference/*/throughput.json`, a list of `Throughput`s made by `python -m experiments.plan.measured RESULTS`. They apply
to a training with the same network, batch, precision and kind of device; length, seed and data may differ.
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

from experiments.spec.tree import flatten
from experiments.store.folder import StageView, Store
from experiments.store.states import State

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference"
LEAST_INTERVALS = 3
"""A training with fewer intervals in its log is too short to measure."""
_TRAINING = ("batch_size", "micro_batches", "precision", "compile")


@dataclass(frozen=True)
class Throughput:
    """One measurement."""

    seconds_per_iteration: float
    device: str
    """Such as "NVIDIA H200"."""
    date: str
    stage: str
    """Id of the measured training."""
    data: str
    """Name of its data set."""
    fields: Mapping[str, Any]
    """{dotted field: value} of all fields that affect training speed."""

    @property
    def citation(self) -> str:
        """`train-0123456789abcdef on NVIDIA H200, data shapes, 2026-11-20`."""
        return f"{self.stage} on {self.device}, data {self.data}, {self.date}"


class Throughputs:
    """The measurements of a results folder, then those of the reference. A log is read only if it matches a planned training.

    Args:
        finished: the folder's finished trainings.
    """

    def __init__(self, finished: Sequence[StageView], reference: Path = REFERENCE) -> None:
        self._sources: dict[str, tuple[Mapping[str, Any], list[StageView | Throughput]]] = {}
        for view in finished:
            self._add(speed_fields(view.record), StageView(view.folder))  # a view keeps what it has read
        for path in sorted(reference.glob("*/throughput.json")):
            for row in json.loads(path.read_text(encoding="utf-8")):
                self._add(row["fields"], Throughput(**row))
        self._found: dict[str, Throughput | None] = {}

    def _add(self, fields: Mapping[str, Any], source: StageView | Throughput) -> None:
        self._sources.setdefault(_key(fields), (fields, []))[1].append(source)

    def of(self, content: Mapping[str, Any]) -> Throughput | None:
        """The first measurement that applies to a train stage; fields that did not exist when it was measured are ignored."""
        planned = speed_fields(content)
        key = _key(planned)
        if key not in self._found:
            self._found[key] = next(self._fitting(planned), None)
        return self._found[key]

    def _fitting(self, planned: Mapping[str, Any]) -> Iterator[Throughput]:
        for fields, sources in self._sources.values():
            if all(planned.get(name) == value for name, value in fields.items()):
                yield from (one for one in map(_measurement, sources) if one is not None)


def measured(store: Store) -> list[Throughput]:
    """The measurements of a results folder's finished trainings; those too short to measure are left out."""
    finished = (view for view in store.records() if view.kind == "train" and view.state == State.DONE)
    return [one for one in map(_measurement, finished) if one is not None]


def speed_fields(content: Mapping[str, Any]) -> dict[str, Any]:
    """{dotted field: value} of all fields of a train stage that affect its speed."""
    model = {".".join(path): value for path, value in flatten({"model": content["fields"]["model"]}).items()}
    given = content["fields"]["training"]
    training = {f"training.{name}": given[name] for name in _TRAINING if name in given}
    model.pop("model.backbone.weights", None)
    threads = {"threads": content["threads"]} if content["device"] == "cpu" else {}
    return {**model, **training, "device": content["device"], **threads}


def _key(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, sort_keys=True)


def _measurement(source: StageView | Throughput) -> Throughput | None:
    if isinstance(source, Throughput):
        return source
    seconds = _seconds_per_iteration(source.log)
    if seconds is None:
        return None
    return Throughput(
        seconds_per_iteration=seconds,
        device=str(source.env.get("device_name") or source.record["device"]),
        date=str(source.status.finished or "")[:10],
        stage=source.id,
        data=Path(str(source.record.get("location", {}).get("data", ""))).name,
        fields=speed_fields(source.record),
    )


def _seconds_per_iteration(log: Sequence[Mapping[str, Any]]) -> float | None:
    steps = [(datetime.fromisoformat(event["time"]), event["iteration"]) for event in log if event.get("event") == "step"]
    rates = [(t - s).total_seconds() / (j - i) for (s, i), (t, j) in pairwise(steps) if j > i]
    return statistics.median(rates) if len(rates) >= LEAST_INTERVALS else None


if __name__ == "__main__":
    print(json.dumps([asdict(one) for one in measured(Store(sys.argv[1]))], indent=1))
