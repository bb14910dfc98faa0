"""The metrics of an experiment's runs (`experiments/store/metrics.py`), read from its stages."""

from __future__ import annotations

from typing import Any

from analysis.results.contents import read_table
from analysis.results.experiment import Experiment, MissingResult
from experiments.store.metrics import Metric


def value(experiment: Experiment, variant: str, seed: int, metric: Metric) -> float:
    """The metric of one run, in its reported unit.

    Raises:
        MissingResult: it was not measured, or its value is undefined (of COCO: no instance of that kind).
    """
    found = _contents(experiment, variant, seed, metric)
    if metric.path[0] == "segm" and "segm" not in found:
        raise MissingResult("no masks were made")
    try:
        return metric.of(found)
    except (KeyError, ValueError) as error:
        raise MissingResult(str(error.args[0])) from None


def _contents(experiment: Experiment, variant: str, seed: int, metric: Metric) -> Any:
    if metric.file.endswith(".csv"):
        return read_table(experiment.path(variant, seed, metric.kind, metric.file)).to_dict("list")
    found = experiment.read(variant, seed, metric.kind, metric.file)
    if metric.file == "summary.json" and found == {"prototypes": 0}:
        raise MissingResult(f"{experiment.variant(variant).label} has no prototypes")
    return found
