"""The report on the paper: every table and figure of it on one page, ours beside the printed values."""

from __future__ import annotations

import html
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pandas as pd

from analysis import figures, tables, writers
from analysis.answer import answer
from analysis.figures.picture import Picture
from analysis.figures.prototypes import best_prototype_variant
from analysis.figures.speed import protocol
from analysis.figures.style import colours
from analysis.layout import headline_tables
from analysis.pages.base import missing
from analysis.pages.pieces import Html, Pieces, hole
from analysis.paper_table import paper_table
from analysis.results import Experiment, load
from experiments.store import Store


class PaperPage:
    """The pieces of the page. Each names its experiment; one that was not run leaves a hole that says how to run it."""

    def __init__(self, store: Store, scale: str, output: Path | None = None) -> None:
        """
        Args:
            output: an existing folder to write figures and tables to; None writes nothing.
        """
        self.scale = scale
        self.pieces = Pieces(output)
        self._store = store
        names = [record["experiment"] for record in store.experiments() if record["scale"] == scale]
        self._experiments = {name: load(store.root, name, scale) for name in names}
        self._summary = cache(lambda name: tables.summary(self._experiments[name]))

    @classmethod
    def open(cls, results: str, scale: str, output: str = "") -> PaperPage:
        """The page on the stored results of a scale.

        Args:
            output: an existing folder to write figures and tables to; "" writes nothing.
        """
        return cls(Store(results), scale, Path(output) if output else None)

    def answers(self, *names: str) -> Html:
        """Each experiment's question, and its answer in one sentence."""
        return Html("".join(self._answer(name) for name in names))

    def table(self, name: str) -> Html:
        """The table of an experiment with the paper's values under ours; changes with their intervals folded away."""
        if name not in self._experiments:
            return self._not_run(name)
        experiment, summary = self._experiments[name], self._summary(name)
        shades = colours(experiment)
        headline = headline_tables(experiment, summary)
        changes = "".join(writers.as_html(table, shades) for table in headline)
        return Html(
            writers.as_html(paper_table(experiment, summary), shades)
            + self._links(name, summary)
            + f"<details><summary>Changes with their intervals, and notes</summary>{changes}</details>"
        )

    def accuracy(self, name: str) -> Html:
        return self._draw(name, lambda it: figures.accuracy(it, self._summary(name), tables.tidy(it)))

    def accuracy_by_size(self, name: str) -> Html:
        return self._draw(name, lambda it: figures.accuracy_by_size(it, self._summary(name)))

    def accuracy_against_latency(self, name: str) -> Html:
        return self._draw(name, lambda it: figures.accuracy_against_latency(it, self._summary(name), protocol(it)))

    def accuracy_by_iou(self, name: str) -> Html:
        return self._draw(name, figures.accuracy_by_iou)

    def boxes_and_masks(self, name: str) -> Html:
        return self._draw(name, lambda it: figures.boxes_and_masks(it, self._summary(name)))

    def prototypes(self, name: str) -> Html:
        return self._draw(name, lambda it: figures.prototypes(it, best_prototype_variant(it, self._summary(name))))

    def missing(self) -> Html:
        """What failed or is missing in any experiment of the page."""
        return missing(list(self._experiments.values()))

    def _draw(self, name: str, draw: Callable[[Experiment], Picture]) -> Html:
        if name not in self._experiments:
            return self._not_run(name)
        return self.pieces.picture(lambda: draw(self._experiments[name]), prefix=f"{name}-")

    def _answer(self, name: str) -> str:
        if name not in self._experiments:
            return self._not_run(name).source
        experiment = self._experiments[name]
        said = answer(experiment, self._summary(name))
        return f"<p><b>{html.escape(experiment.question)}</b><br>{html.escape(said)}</p>"

    def _links(self, name: str, summary: pd.DataFrame) -> str:
        """To the table's numbers, and to the experiment's own report where it was made."""
        link = self.pieces.csv(name, writers.summary_csv(self._experiments[name], summary))
        report = f"{name}-{self.scale}"
        if (self._store.report_folder(report) / "index.html").is_file():
            link += f'<p class="files"><a href="../{report}/index.html">the whole report on this</a></p>'
        return link

    def _not_run(self, name: str) -> Html:
        return hole(f"Not run: yolact run {name} --scale {self.scale}")
