"""All experiments of one scale, for pages that show several."""

from __future__ import annotations

import pandas as pd

from analysis.results.experiment import Experiment, MissingResult, load
from analysis.tables import tidy as tables
from experiments.store.folder import Store


class Scale:
    """The experiments that were run at a scale, each read once."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name
        self.experiments = tuple(record["experiment"] for record in store.experiments() if record["scale"] == name)
        self._loaded: dict[str, Experiment] = {}
        self._summaries: dict[str, pd.DataFrame] = {}

    def experiment(self, name: str) -> Experiment:
        """
        Raises:
            MissingResult: it was not run; the message is the command that runs it.
        """
        if name not in self.experiments:
            raise MissingResult(f"not run; yolact run {name} --scale {self.name} runs it")
        if name not in self._loaded:
            self._loaded[name] = load(self.store.root, name, self.name)
        return self._loaded[name]

    def summary(self, name: str) -> pd.DataFrame:
        """`tables.summary` of an experiment; raises as `experiment` does."""
        if name not in self._summaries:
            self._summaries[name] = tables.summary(self.experiment(name))
        return self._summaries[name]
